// The WebSockets of visitors and agents as the clients in the field speak to them: two major versions of the library
// that most pages use, and the page's own module.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import stompjs6 from "stompjs6"; // a CommonJS package: its exports are one object
import * as stompjs7 from "stompjs7";
import { WebSocket } from "ws";
import { ADMIN_TOKEN, Server, eventually } from "./harness.mjs";

const DESTINATION = "/user/queue/message";

let server;
let channel;

before(async () => {
  server = await Server.start();
  channel = await server.connectChannel();
});

after(() => server?.dispose());

const socketUrl = (endpoint = "ws.chatplugin") => `${server.url.replace("http", "ws")}/${endpoint}`;

/** A connected client and what it has seen, closed when test `t` ends. */
async function connect(t, library, token, { version = "1.2", heartbeatMs = 0, bearer = "Bearer ", endpoint } = {}) {
  const seen = { errors: [], closed: 0, heartbeatsIn: 0, heartbeatsOut: 0, protocol: null, disconnected: null, connected: null };
  const client = new library.Client({
    stompVersions: new library.Versions([version]),
    connectHeaders: { Authorization: `${bearer}${token}` },
    heartbeatIncoming: heartbeatMs,
    heartbeatOutgoing: heartbeatMs,
    reconnectDelay: 0,
    webSocketFactory: () => watched(seen, new WebSocket(socketUrl(endpoint), client.stompVersions.protocolVersions())),
    onConnect: (frame) => (seen.connected = frame),
    onStompError: (frame) => seen.errors.push(frame),
    onWebSocketClose: () => (seen.closed += 1),
    onDisconnect: (frame) => (seen.disconnected = frame),
  });
  t.after(() => client.deactivate());
  client.activate();
  await eventually("the client connects or is refused", () => client.connected || seen.errors.length || seen.closed);
  return { client, seen };
}

/** Counts the heart-beats that pass through `socket`. */
function watched(seen, socket) {
  const isHeartbeat = (data) => /^[\r\n]+$/.test(data.toString());
  const send = socket.send.bind(socket);
  socket.send = (data, ...rest) => {
    if (isHeartbeat(data)) seen.heartbeatsOut += 1;
    send(data, ...rest);
  };
  socket.on("open", () => (seen.protocol = socket.protocol));
  socket.on("message", (data) => isHeartbeat(data) && (seen.heartbeatsIn += 1));
  return socket;
}

/** Lets `act` send a frame with the header it is given, and waits for the server's receipt of that frame. */
async function confirmed(client, act) {
  const receipt = `receipt-${crypto.randomUUID()}`;
  let isConfirmed = false;
  client.watchForReceipt(receipt, () => (isConfirmed = true));
  const outcome = act({ receipt });
  await eventually("the server confirms the frame", () => isConfirmed);
  return outcome;
}

/** Subscribes and returns the bodies as they come; `cursors` are those that came with them. */
async function subscribe(client, id, destination = DESTINATION) {
  const bodies = [];
  bodies.cursors = [];
  const take = (frame) => {
    bodies.push(JSON.parse(frame.body));
    bodies.cursors.push(frame.headers.cursor);
  };
  bodies.subscription = await confirmed(client, (header) => client.subscribe(destination, take, { id, ...header }));
  return bodies;
}

for (const [name, library] of Object.entries({ stompjs6, stompjs7 })) {
  describe(name, () => {
    for (const version of ["1.0", "1.1", "1.2"]) {
      test(`STOMP ${version}: own messages and replies arrive`, async (t) => {
        const visitor = await server.visitor(channel.id);
        const { client, seen } = await connect(t, library, visitor.token, { version });
        assert.deepEqual(seen.errors.map((frame) => frame.headers), []);
        assert.equal(client.connectedVersion, version);
        assert.equal(seen.protocol, `v${version.replace(".", "")}.stomp`);
        const bodies = await subscribe(client, "messages");

        const sent = await visitor.send("Text: with a colon, a \\ and\na second line – ünïcödé 🎈");
        await eventually("the echo arrives", () => bodies.length === 1);
        assert.deepEqual(bodies[0].message, sent);
        assert.equal(bodies[0].message.sender_type, "source_contact");
        assert.equal(bodies[0].channel_id, channel.id);

        const reply = await server.reply(bodies[0].conversation_id, "An answer");
        await eventually("the reply arrives", () => bodies.length === 2);
        assert.equal(bodies[1].message.id, reply.id);
        assert.equal(bodies[1].message.content.text, "An answer");
        assert.equal(bodies[1].message.sender_type, "app_user");
      });
    }

    test("the token is also taken bare", async (t) => {
      const visitor = await server.visitor(channel.id);
      const { client } = await connect(t, library, visitor.token, { bearer: "" });
      assert.ok(client.connected);
    });

    test("a bad token is refused with an ERROR that says 401, and the socket closes", async (t) => {
      const { client, seen } = await connect(t, library, "not-a-token");
      assert.equal(client.connected, false);
      await eventually("the error is reported", () => seen.errors.length === 1);
      assert.match(seen.errors[0].headers.message, /401/);
      await eventually("the socket closes", () => seen.closed === 1);
    });

    test("heart-beats go both ways and keep the connection up", async (t) => {
      const visitor = await server.visitor(channel.id);
      const { client, seen } = await connect(t, library, visitor.token, { heartbeatMs: 1000 });
      const connectedAt = Date.now();
      await eventually("three heart-beats each way, 3.5 s after connecting", () => {
        const { heartbeatsIn, heartbeatsOut, closed } = seen;
        const elapsedMs = Date.now() - connectedAt;
        if (heartbeatsIn >= 3 && heartbeatsOut >= 3 && elapsedMs >= 3500) return true;
        throw new Error(JSON.stringify({ heartbeatsIn, heartbeatsOut, closed, elapsedMs }));
      });
      assert.equal(seen.closed, 0);
      assert.ok(client.connected);
      const bodies = await subscribe(client, "messages");
      await visitor.send("Still there?");
      await eventually("the connection still carries messages", () => bodies.length === 1);
    });

    test("DISCONNECT is answered by its RECEIPT", async (t) => {
      const visitor = await server.visitor(channel.id);
      const { client, seen } = await connect(t, library, visitor.token);
      await client.deactivate();
      await eventually("the receipt arrives", () => seen.disconnected);
      assert.equal(seen.disconnected.command, "RECEIPT");
      assert.deepEqual(seen.errors, []);
    });

    test("after UNSUBSCRIBE nothing more arrives there", async (t) => {
      const visitor = await server.visitor(channel.id);
      const { client } = await connect(t, library, visitor.token);
      const given = await subscribe(client, "given-up");
      const kept = await subscribe(client, "kept");
      await visitor.send("For both");
      await eventually("both subscriptions get it", () => given.length === 1 && kept.length === 1);
      await confirmed(client, (header) => given.subscription.unsubscribe(header));
      await visitor.send("For one");
      await eventually("the other subscription gets it", () => kept.length === 2);
      assert.equal(given.length, 1);
    });

    test("a visitor gets nothing of another visitor's conversation", async (t) => {
      const [one, other] = [await server.visitor(channel.id), await server.visitor(channel.id)];
      const bodies = await subscribe((await connect(t, library, one.token)).client, "messages");
      await other.send("Not for the first visitor");
      await one.send("For the first visitor");
      await eventually("the own message arrives", () => bodies.length > 0);
      assert.deepEqual(bodies.map((body) => body.message.content.text), ["For the first visitor"]);
    });
  });
}

for (const [name, library] of Object.entries({ stompjs6, stompjs7 })) {
  describe(`${name}, an agent`, () => {
    const endpoint = "ws.communication";

    for (const version of ["1.0", "1.1", "1.2"]) {
      test(`STOMP ${version}: messages, counts and channels of everybody arrive`, async (t) => {
        const { client, seen } = await connect(t, library, ADMIN_TOKEN, { version, endpoint });
        assert.deepEqual(seen.errors.map((frame) => frame.headers), []);
        assert.equal(client.connectedVersion, version);
        const messages = await subscribe(client, "messages", "/queue/message");
        const counts = await subscribe(client, "counts", "/queue/unread-count");
        const connected = await subscribe(client, "connected", "/queue/channel/connected");
        const disconnected = await subscribe(client, "disconnected", "/queue/channel/disconnected");
        const events = await subscribe(client, "events", "/events");

        const other = await server.connectChannel("Another shop", `web-test-${crypto.randomUUID()}`);
        const visitor = await server.visitor(other.id);
        const sent = await visitor.send("Text: with a colon, a \\ and\na second line – ünïcödé 🎈");
        await eventually("the message and its count arrive", () => messages.length === 1 && counts.length === 1);
        assert.deepEqual(messages[0].message, sent);
        const conversation = messages[0].conversation_id;
        assert.equal(counts[0].conversation_id, conversation);
        assert.equal(counts[0].unread_message_count, 1);

        await server.reply(conversation, "An answer");
        await eventually("the answer arrives twice", () => messages.length === 3);
        assert.deepEqual(messages.slice(1).map(({ message }) => message.delivery_state), ["pending", "delivered"]);

        await server.post("/channels.disconnect", { channel_id: other.id });
        await eventually("the channel comes and goes", () => connected.length === 1 && disconnected.length === 1);
        assert.deepEqual(connected[0], other);
        assert.deepEqual(disconnected[0], other);
        await eventually("all of it is events too", () => events.length === 8);
      });
    }

    test("what was missed is after the cursor", async (t) => {
      const visitor = await server.visitor(channel.id);
      const { client, seen } = await connect(t, library, ADMIN_TOKEN, { endpoint });
      const messages = await subscribe(client, "messages", "/queue/message");
      await visitor.send("heard");
      await eventually("it arrives", () => messages.length === 1);
      await client.deactivate();
      await visitor.send("missed");
      const after = async (cursor) => (await server.post("/events.list", { cursor })).data.map((event) => event.text);
      assert.deepEqual(await after(messages.cursors[0]), ["missed"]);
      assert.deepEqual(await after(seen.connected.headers.cursor), ["heard", "missed"]);
    });

    test("a bad token is refused with an ERROR that says 401, and the socket closes", async (t) => {
      const visitor = await server.visitor(channel.id);
      for (const token of ["", "not-a-token", visitor.token]) {
        const { client, seen } = await connect(t, library, token, { endpoint });
        assert.equal(client.connected, false);
        await eventually("the error is reported", () => seen.errors.length === 1);
        assert.match(seen.errors[0].headers.message, /401/);
        await eventually("the socket closes", () => seen.closed === 1);
      }
    });

    test("heart-beats go both ways and DISCONNECT is answered", async (t) => {
      const { client, seen } = await connect(t, library, ADMIN_TOKEN, { endpoint, heartbeatMs: 1000 });
      await eventually("two heart-beats each way", () => seen.heartbeatsIn >= 2 && seen.heartbeatsOut >= 2);
      await client.deactivate();
      await eventually("the receipt arrives", () => seen.disconnected);
      assert.deepEqual(seen.errors, []);
    });
  });
}

describe("the page's own client", () => {
  let stomp;

  before(async () => {
    globalThis.WebSocket ??= WebSocket;
    const response = await fetch(`${server.url}/chat-assets/stomp.js`);
    const folder = await mkdtemp(path.join(tmpdir(), "tradewind-web-"));
    const file = path.join(folder, "stomp.mjs"); // as served; the ending makes it a module for Node.js as well
    await writeFile(file, await response.text());
    stomp = await import(pathToFileURL(file));
    await rm(folder, { recursive: true });
  });

  test("reads what the library writes and writes what it reads", () => {
    const headers = { destination: "/a:b", odd: "back\\slash, colon:, line\nand return\r" };
    const body = "first line\n\nthird: ünïcödé";
    const frame = { command: "SEND", headers, body, skipContentLengthHeader: true, escapeHeaderValues: true };
    const theirs = stompjs7.FrameImpl.marshall(frame);
    assert.deepEqual({ ...stomp.decodeFrame(theirs).headers }, headers);
    assert.equal(stomp.decodeFrame(theirs).body, body);

    const frames = [];
    const parser = new stompjs7.Parser((frame) => frames.push(stompjs7.FrameImpl.fromRawFrame(frame, true)), () => {});
    parser.parseChunk(stomp.encodeFrame("SEND", headers, body));
    assert.deepEqual(frames.map((frame) => ({ ...frame.headers })), [headers]);
    assert.equal(frames[0].body, body);
  });

  test("takes heart-beats for nothing and refuses what is no frame", () => {
    assert.equal(stomp.decodeFrame("\n"), null);
    assert.equal(stomp.decodeFrame("\r\n\n"), null);
    for (const text of ["MESSAGE", "MESSAGE\n\nno end", "MESSAGE\nheader\n\n\0", "MESSAGE\na:\\t\n\n\0", "<html>\n\n\0"]) {
      assert.throws(() => stomp.decodeFrame(text), stomp.StompError, JSON.stringify(text));
    }
  });

  test("connects, subscribes, receives and closes", async () => {
    const visitor = await server.visitor(channel.id);
    const client = new stomp.StompClient(socketUrl(), { headers: { Authorization: `Bearer ${visitor.token}` } });
    await client.ready;
    const bodies = [];
    await client.subscribe(DESTINATION, (body) => bodies.push(JSON.parse(body)));
    const sent = await visitor.send("Hello");
    await eventually("the echo arrives", () => bodies.length === 1);
    assert.deepEqual(bodies[0].message, sent);
    client.close();
    assert.equal(await client.closed, undefined);
  });

  test("reports a bad token with the server's words", async () => {
    const client = new stomp.StompClient(socketUrl(), { headers: { Authorization: "Bearer not-a-token" } });
    await assert.rejects(client.ready, (error) => error instanceof stomp.StompError && error.message.includes("401"));
    await assert.rejects(client.subscribe(DESTINATION, () => {}), stomp.StompError);
    await client.closed;
  });
});
