// A small STOMP 1.2 client over WebSocket, as much of it as a chat page needs.
//
// A network can die without a word: the socket then stays "open" for minutes. So silence counts as the end:
// when the server owes a heart-beat and has sent nothing for two intervals, the connection is over here,
// whatever the browser still believes.
//
// It never reconnects (only the caller knows when that makes sense), and it knows no transactions,
// no acknowledgements and no binary bodies. One WebSocket message carries one frame or heart-beats.

const ESCAPES = { "\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c" };
const UNESCAPES = { "\\\\": "\\", "\\r": "\r", "\\n": "\n", "\\c": ":" };

/** What the server said in an ERROR frame, or why a connection could not be used. */
export class StompError extends Error {
  name = "StompError";
}

/** The text of a frame. Header values of CONNECT and CONNECTED stay unescaped, as the specification asks. */
export function encodeFrame(command, headers = {}, body = "") {
  const plain = command === "CONNECT" || command === "CONNECTED";
  const escape = (value) => (plain ? String(value) : String(value).replace(/[\\\r\n:]/g, (sign) => ESCAPES[sign]));
  const lines = Object.entries(headers).map(([name, value]) => `${escape(name)}:${escape(value)}\n`);
  return `${command}\n${lines.join("")}\n${body}\0`;
}

/** The frame in `text`, or null for heart-beats. Throws a StompError for anything else. */
export function decodeFrame(text) {
  const start = text.replace(/^[\r\n]+/, "");
  if (start === "") return null;
  const match = /^([A-Z]+)\r?\n((?:[^\r\n]+\r?\n)*)\r?\n([^]*)\0[\r\n]*$/.exec(start);
  if (!match) throw new StompError("The server sent something that is not a STOMP frame.");
  const [, command, head, body] = match;
  const unescape = (value) => {
    if (command === "CONNECTED") return value;
    return value.replace(/\\[^]?/g, (pair) => {
      if (!(pair in UNESCAPES)) throw new StompError("The server sent an unknown escape sequence.");
      return UNESCAPES[pair];
    });
  };
  const headers = Object.create(null);
  for (const line of head.split(/\r?\n/).filter(Boolean)) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new StompError("The server sent a header without a name.");
    headers[unescape(line.slice(0, colon))] ??= unescape(line.slice(colon + 1)); // the first of a kind counts
  }
  return { command, headers, body };
}

/** One connection, opened at once. It is used once: after `closed` make a new one. */
export class StompClient {
  /** Fulfilled by the CONNECTED frame; rejected with a StompError when the connection ends before it. */
  ready;
  /** Fulfilled with a StompError, or with undefined after `close()`, when the connection has ended. */
  closed;

  #socket;
  #settle = {};
  #timers = [];
  #heardAt = Date.now();
  #handlers = new Map();
  #receipts = new Map();
  #lastId = 0;
  #heartbeat;

  /**
   * `headers` go into the CONNECT frame. `sendMs` and `expectMs` offer heart-beats (0 = none); what we promise,
   * we send twice as often, because a hidden tab's timers may run only once a minute.
   */
  constructor(url, { headers = {}, sendMs = 60_000, expectMs = 20_000, timeoutMs = 15_000 } = {}) {
    this.#heartbeat = [sendMs, expectMs];
    this.ready = new Promise((resolve, reject) => Object.assign(this.#settle, { ready: resolve, refused: reject }));
    this.closed = new Promise((resolve) => Object.assign(this.#settle, { closed: resolve }));
    this.ready.catch(() => {}); // a caller that only waits for `closed` must not cause an unhandled rejection
    this.#socket = new WebSocket(url, ["v12.stomp"]);
    this.#socket.onopen = () => {
      const fixed = { "accept-version": "1.2", host: new URL(url).host, "heart-beat": this.#heartbeat.join(",") };
      this.#send("CONNECT", { ...fixed, ...headers });
    };
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = () => this.#end(new StompError("The connection was lost."));
    const timer = setTimeout(() => this.#end(new StompError("The server did not answer in time.")), timeoutMs);
    this.#timers.push(timer);
    this.ready.then(() => clearTimeout(timer), () => {});
  }

  /**
   * Hands the body of every message at `destination` to `onMessage`. Fulfilled when the server has confirmed
   * the subscription, so that whatever is stored from then on arrives; rejected when the connection ends first.
   */
  subscribe(destination, onMessage) {
    const id = `sub-${++this.#lastId}`;
    this.#handlers.set(id, onMessage);
    return new Promise((resolve, reject) => {
      this.#receipts.set(`receipt-${id}`, resolve);
      this.closed.then((reason) => reject(reason ?? new StompError("The connection was closed.")));
      this.#send("SUBSCRIBE", { id, destination, ack: "auto", receipt: `receipt-${id}` });
    });
  }

  /** Ends the connection politely. Harmless when it has ended already. */
  close() {
    if (this.#socket.readyState === WebSocket.OPEN) this.#send("DISCONNECT");
    this.#end();
  }

  #send(command, headers, body) {
    this.#socket.send(encodeFrame(command, headers, body));
  }

  #receive(data) {
    this.#heardAt = Date.now();
    try {
      const frame = decodeFrame(data);
      if (frame?.command === "CONNECTED") this.#connected(frame.headers);
      else if (frame?.command === "MESSAGE") this.#handlers.get(frame.headers.subscription)?.(frame.body);
      else if (frame?.command === "RECEIPT") this.#receipts.get(frame.headers["receipt-id"])?.();
      else if (frame?.command === "ERROR") this.#end(new StompError(frame.headers.message ?? frame.body));
    } catch (error) {
      this.#end(error);
    }
  }

  #connected(headers) {
    const [theySend, theyExpect] = (headers["heart-beat"] ?? "0,0").split(",").map(Number);
    const [weSend, weExpect] = this.#heartbeat;
    if (weSend && theyExpect) {
      this.#timers.push(setInterval(() => this.#socket.send("\n"), Math.max(weSend, theyExpect) / 2));
    }
    if (weExpect && theySend) {
      const interval = Math.max(weExpect, theySend);
      this.#timers.push(setInterval(() => {
        if (Date.now() - this.#heardAt > 2 * interval) this.#end(new StompError("The server fell silent."));
      }, interval / 2));
    }
    this.#settle.ready();
  }

  #end(reason) {
    this.#timers.forEach(clearInterval); // also clears time-outs: both share one list of ids
    this.#socket.onmessage = this.#socket.onclose = this.#socket.onopen = null;
    this.#socket.close();
    this.#settle.refused(reason ?? new StompError("The connection was closed."));
    this.#settle.closed(reason);
  }
}
