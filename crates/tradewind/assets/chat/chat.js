// The visitor's side of one conversation: shows it, sends what the visitor writes, and keeps both true
// while networks and servers come and go.
//
// What was said is known twice: the server's history is the truth, the socket only tells it sooner. So every
// connection subscribes first and fetches the history after that; nothing can fall between the two, and what
// arrives twice is one message because it has one id. What the visitor writes waits in `queue` under an
// idempotency key until the server has answered for that key, however often it must be asked.
//
// It never puts text into the page as HTML, and keeps nothing in the browser but a resume token,
// the id of the last reply seen and what is not sent yet.

import { StompClient, StompError } from "./stomp.js";

const REQUEST_TIMEOUT_MS = 15_000;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 30_000;
const RETRY_AFTER_MAX_MS = 60_000;
const STABLE_CONNECTION_MS = 10_000;
const RESUME_RENEWAL_MS = 24 * 60 * 60_000;
const STORAGE_ARRIVAL_MS = 1_000;
const NOTICE_DELAY_MS = 1_200;
const ECHO_CLOCK_SKEW_MS = 5 * 60_000;
const GROUP_GAP_MS = 5 * 60_000;
const NEAR_BOTTOM_PX = 80;

const { channelId, channelName } = document.body.dataset;
const name = channelName.trim() || "Chat";
/** How embed.js opened this page, if it did: `#widget&accent=…&ink=…`. */
const options = new URLSearchParams(location.hash.slice(1));
const isWidget = options.has("widget") && window.parent !== window;

const element = (id) => document.getElementById(id);
const [log, list, form, textarea, jump] = ["log", "messages", "composer", "text", "jump"].map(element);

// --- What the browser keeps -------------------------------------------------------------------------

/** A corner of `localStorage` or `sessionStorage`; when the browser refuses it, plain memory. */
function openStorage(kind) {
  const memory = new Map();
  const full = (key) => `tradewind:${channelId}:${key}`;
  const attempt = (act, otherwise) => {
    try {
      return act(window[kind]);
    } catch {
      return otherwise();
    }
  };
  return {
    get: (key) => attempt((s) => s.getItem(full(key)), () => null) ?? memory.get(key) ?? null,
    set: (key, value) => attempt((s) => s.setItem(full(key), value), () => memory.set(key, value)),
    remove: (key) => attempt((s) => s.removeItem(full(key)), () => memory.delete(key)),
  };
}

const browser = openStorage("localStorage");
const tab = openStorage("sessionStorage");

// --- Waiting ----------------------------------------------------------------------------------------

const wakers = new Set();

/** Waits `ms`, or until `wake` says that trying again is worth it now. */
function pause(ms) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      wakers.delete(done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    wakers.add(done);
  });
}

const wake = () => wakers.forEach((done) => done());

/** Doubles with each attempt; the random half keeps many visitors from returning in one instant. */
function backoffMs(attempt) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** attempt);
  return ceiling * (0.5 + Math.random() / 2);
}

// --- The server -------------------------------------------------------------------------------------

/** The server understood the request and said no. Every other failure of `post` means: nobody knows. */
class Refused extends Error {
  constructor(response) {
    super(`The server answered ${response.status}.`);
    this.status = response.status;
    const seconds = Number(response.headers.get("Retry-After"));
    this.retryAfterMs = seconds > 0 ? Math.min(seconds * 1000, RETRY_AFTER_MAX_MS) : 0;
  }
}

const isPassing = (error) => !(error instanceof Refused) || [408, 429].includes(error.status) || error.status >= 500;
const isStatus = (error, status) => error instanceof Refused && error.status === status;

async function post(path, body, headers = {}) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  if (!response.ok) throw new Refused(response);
  return response.json();
}

let visitorToken = null;
let authenticating = null;

/** Gets a visitor token and the history with it, and shows the history. Callers at one time share one request. */
function authenticate() {
  authenticating ??= startSession().finally(() => (authenticating = null));
  return authenticating;
}

async function startSession() {
  const { messages } = await alone(async () => {
    const session = (await resumeSession()) ?? (await post("/chatplugin.authenticate", { channel_id: channelId }));
    visitorToken = session.token;
    if (Date.now() > renewAt) await renewResumeToken();
    return session;
  });
  mergeHistory(messages);
}

/**
 * Runs `act`, the first time in one tab after the other, so that tabs opened at once do not begin two conversations.
 * Browsers lock on secure origins only, and not in a frame whose storage they block; there it stays possible.
 */
async function alone(act) {
  if (browser.get("resume")) return act();
  let outcome;
  const request = (settings, then) => navigator.locks?.request(`tradewind:${channelId}`, settings, then).catch(() => {});
  await request({ ifAvailable: true }, (lock) => lock && (outcome = act()));
  if (!outcome) await request({}, () => (outcome = otherTabsSession().then(act)));
  return outcome ?? act();
}

/** What another tab stores may arrive here some time after the lock it has released, so this waits for it a little. */
async function otherTabsSession() {
  const deadline = Date.now() + STORAGE_ARRIVAL_MS;
  while (!browser.get("resume") && Date.now() < deadline) await pause(50);
}

async function resumeSession() {
  try {
    // The session may have begun without a resume token, because that one request failed.
    if (visitorToken && !browser.get("resume")) await renewResumeToken();
    const resumeToken = browser.get("resume");
    return resumeToken && (await post("/chatplugin.authenticate", { resume_token: resumeToken }));
  } catch (error) {
    if (!isStatus(error, 401)) throw error;
    browser.remove("resume"); // expired: the visitor goes on in a new conversation
    renewAt = 0;
    return null;
  }
}

/** When the next resume token is due: at every load, and daily in a page that stays open. */
let renewAt = 0;

async function renewResumeToken() {
  const answer = await post("/chatplugin.resumeToken", {}, { Authorization: `Bearer ${visitorToken}` });
  browser.set("resume", answer.resume_token);
  renewAt = Date.now() + RESUME_RENEWAL_MS;
}

async function sendToServer(entry) {
  const attempt = () => {
    const headers = { Authorization: `Bearer ${visitorToken}`, "Idempotency-Key": entry.key };
    return post("/chatplugin.send", { message: { text: entry.text } }, headers);
  };
  if (!visitorToken) await authenticate();
  entry.tried = true;
  try {
    return await attempt();
  } catch (error) {
    if (!isStatus(error, 401)) throw error;
    await authenticate(); // visitor tokens live for an hour
    return attempt();
  }
}

// --- The conversation -------------------------------------------------------------------------------
// An entry is one message on the page: `id` and `at` from the server once known, `key` if written here.

/** Entries with an id, in the server's order. */
let confirmed = [];
/** Entries written here that the server has not answered for, in the order written. */
let queue = [];
const byId = new Map();

const toEntry = (message) => ({
  text: typeof message.content?.text === "string" ? message.content.text : "(This message cannot be shown here.)",
  isMine: message.sender_type === "source_contact",
});

function confirm(entry, message) {
  entry.id = message.id;
  entry.at = new Date(message.sent_at);
  byId.set(entry.id, entry);
  confirmed.push(entry);
}

/**
 * Takes in a message from the history or the socket. The echo of an own message may overtake the answer to its
 * request and carries no key, so it is first matched by text; `settle` puts right what that gets wrong.
 */
function receive(message) {
  if (byId.has(message.id)) return;
  const fresh = toEntry(message);
  const isEcho = (entry) => !entry.id && entry.tried && entry.text === fresh.text
    && new Date(message.sent_at) > entry.at - ECHO_CLOCK_SKEW_MS;
  confirm((fresh.isMine && queue.find(isEcho)) || fresh, message);
}

/** Takes in the server's answer to `entry`'s own request: from now on its id is certain. */
function settle(entry, message) {
  queue = queue.filter((other) => other !== entry);
  const known = byId.get(message.id);
  if (!entry.id && known) {
    entry.id = message.id; // its echo stands there already, as an entry of its own
  } else if (!entry.id) {
    confirm(entry, message);
  } else if (!known) {
    receive(message); // the echo that matched was another tab's message with the same text
  }
  entry.state = "sent";
}

function mergeHistory(messages) {
  messages.forEach(receive);
  if (messages.length > 0) {
    const listed = new Set(messages.map((message) => message.id));
    const others = confirmed.filter((entry) => !listed.has(entry.id));
    const start = new Date(messages[0].sent_at); // what is not listed is older than the list, or newer
    confirmed = [
      ...others.filter((entry) => entry.at < start),
      ...messages.map((message) => byId.get(message.id)),
      ...others.filter((entry) => entry.at >= start),
    ];
  }
  log.setAttribute("aria-busy", "false");
  paint();
}

// --- Sending ----------------------------------------------------------------------------------------

let isSending = false;

function write(text) {
  queue.push({ key: newKey(), text, isMine: true, at: new Date(), state: "sending" });
  saveQueue();
  paint({ toBottom: true });
  sendQueue();
}

/** Sends what waits, one after the other, so that the order written is the order sent. */
async function sendQueue() {
  if (isSending) return;
  isSending = true;
  for (let attempt = 0; ;) {
    const entry = queue.find((other) => other.state !== "failed");
    if (!entry) break;
    try {
      settle(entry, await sendToServer(entry));
      attempt = 0;
    } catch (error) {
      if (isPassing(error)) {
        entry.state = "waiting";
        paint();
        await pause(error.retryAfterMs || backoffMs(attempt++));
      } else {
        refuse(entry, error);
      }
    }
    saveQueue();
    paint();
  }
  isSending = false;
}

function refuse(entry, error) {
  if (isStatus(error, 404)) endChat();
  if (entry.id) {
    queue = queue.filter((other) => other !== entry); // an earlier attempt did arrive: its echo is on the page
  } else {
    entry.state = "failed";
    announce("Your message was not sent.");
  }
}

function retry(entry) {
  entry.state = "sending";
  paint();
  wake();
  sendQueue();
}

function saveQueue() {
  tab.set("queue", JSON.stringify(queue.map(({ key, text, at }) => ({ key, text, at }))));
}

function restoreQueue() {
  const saved = JSON.parse(tab.get("queue") ?? "[]");
  queue = saved.map(({ key, text, at }) => ({ key, text, at: new Date(at), isMine: true, state: "waiting", tried: true }));
}

/** A random UUID. `crypto.randomUUID` exists on secure origins only, and a chat may run on a plain local one. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

// --- Listening --------------------------------------------------------------------------------------

let hasEnded = false;
let isConnected = false;
let client = null;

/** Keeps one connection to the server until the chat ends. */
async function listen() {
  for (let attempt = 0; !hasEnded; attempt++) {
    const startedAt = Date.now();
    try {
      if (!visitorToken) await authenticate();
      await followConversation();
    } catch (error) {
      if (isStatus(error, 404)) return endChat();
      console.warn("Tradewind: the connection ended.", error);
      if (error instanceof StompError && error.message.includes("401")) visitorToken = null;
    }
    isConnected = false;
    showConnection();
    if (Date.now() - startedAt > STABLE_CONNECTION_MS) attempt = 0;
    await pause(backoffMs(attempt));
  }
}

/** Ends by an exception when the connection does. */
async function followConversation() {
  const address = new URL("/ws.chatplugin", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  client = new StompClient(address.href, { headers: { Authorization: `Bearer ${visitorToken}` } });
  try {
    await client.ready;
    await client.subscribe("/user/queue/message", (body) => {
      receive(JSON.parse(body).message);
      paint();
    });
    await authenticate();
    isConnected = true;
    showConnection();
    wake();
    throw await client.closed;
  } finally {
    client.close();
  }
}

// --- The page ---------------------------------------------------------------------------------------

const timeFormat = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const STATES = { sending: "Sending…", waiting: "Not sent yet, trying again…", failed: "Not sent", sent: "Sent" };
const days = new Map();
/** Ends neither in punctuation nor in a bracket that the address itself does not open. */
const LINK = /\bhttps?:\/\/[^\s<>"]*(?:\([^\s<>"()]*\)|[^\s<>"'.,:;!?()[\]{}»”])/gi;

/** Brings the list in line with the conversation. Nodes stay, so that a screen reader hears only what is new. */
function paint({ toBottom = false } = {}) {
  isAtBottom = toBottom || measureIsAtBottom();
  const entries = [...confirmed, ...queue.filter((entry) => !entry.id)];
  const lastSent = confirmed.findLast((entry) => entry.isMine);
  const nodes = [];
  entries.forEach((entry, index) => {
    const [before, after] = [entries[index - 1], entries[index + 1]];
    if (!before || dayOf(before) !== dayOf(entry)) nodes.push(dayNode(entry));
    entry.node ??= newMessageNode(entry);
    const state = entry.id ? (entry === lastSent ? "sent" : "") : entry.state;
    updateMessageNode(entry, { state, isFirst: !continues(before, entry), isLast: !continues(entry, after) });
    nodes.push(entry.node);
  });
  let cursor = list.firstElementChild;
  for (const node of nodes) {
    if (node === cursor) cursor = cursor.nextElementSibling;
    else list.insertBefore(node, cursor);
  }
  while (cursor) {
    const gone = cursor;
    cursor = cursor.nextElementSibling;
    gone.remove();
  }
  element("welcome").hidden = entries.length > 0 || log.getAttribute("aria-busy") === "true";
  if (isAtBottom) scrollToBottom();
  showUnread();
}

const dayOf = (entry) => entry.at.toDateString();

/** Whether `next` belongs to the same run of bubbles as `entry`. */
const continues = (entry, next) => Boolean(entry && next) && entry.isMine === next.isMine
  && dayOf(entry) === dayOf(next) && next.at - entry.at < GROUP_GAP_MS;

function dayNode(entry) {
  const day = dayOf(entry);
  const node = days.get(day) ?? element("day-template").content.cloneNode(true).firstElementChild;
  const time = node.querySelector("time");
  const parts = [entry.at.getFullYear(), entry.at.getMonth() + 1, entry.at.getDate()];
  time.dateTime = parts.map((part) => String(part).padStart(2, "0")).join("-");
  time.textContent = day === new Date().toDateString() ? "Today" : dayFormat.format(entry.at);
  days.set(day, node);
  return node;
}

function newMessageNode(entry) {
  const node = element("message-template").content.cloneNode(true).firstElementChild;
  node.classList.add(entry.isMine ? "mine" : "reply");
  node.querySelector(".author").textContent = entry.isMine ? "You: " : `${name}: `;
  node.querySelector(".text").append(...linkify(entry.text));
  node.querySelector(".retry").addEventListener("click", () => retry(entry));
  return node;
}

function updateMessageNode(entry, { state, isFirst, isLast }) {
  const { node } = entry;
  node.classList.toggle("first", isFirst);
  node.classList.toggle("last", isLast);
  node.dataset.state = state;
  const time = node.querySelector("time");
  time.dateTime = entry.at.toISOString();
  time.textContent = timeFormat.format(entry.at);
  time.title = fullFormat.format(entry.at);
  node.querySelector(".state").textContent = STATES[state] ?? "";
  node.querySelector(".retry").hidden = hasEnded || !["waiting", "failed"].includes(state);
}

/** `text` as nodes, its http and https addresses as links. One with a user name stays text: it can mislead. */
function linkify(text) {
  const nodes = [];
  let end = 0;
  for (const { 0: address, index } of text.matchAll(LINK)) {
    let url;
    try {
      url = new URL(address);
    } catch {
      continue;
    }
    if (url.username || url.password) continue;
    const link = document.createElement("a");
    Object.assign(link, { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", textContent: address });
    nodes.push(text.slice(end, index), link);
    end = index + address.length;
  }
  return [...nodes, text.slice(end)];
}

let isAtBottom = true;
const measureIsAtBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_BOTTOM_PX;

function scrollToBottom() {
  log.scrollTop = log.scrollHeight;
  jump.hidden = true;
}

/** A widget is open when embed.js says so; every other page is. */
let isOpen = !isWidget;
let lastReply = null;

/** Points out replies the visitor has not seen: in the page, in the tab's title, on the widget's button. */
function showUnread() {
  const reply = confirmed.findLast((entry) => !entry.isMine) ?? null;
  if (!reply) return;
  const isNew = reply !== lastReply;
  lastReply = reply;
  if (isNew && !isAtBottom) jump.hidden = false;
  const isUnread = browser.get("seen") !== reply.id;
  if (isNew && isUnread) tellWidget("tradewind:unread"); // embed.js knows best whether the panel is open just now
  const isLooking = isOpen && !document.hidden;
  if (isLooking) browser.set("seen", reply.id);
  document.title = isUnread && !isLooking ? `• ${name}` : name;
}

/** Tells embed.js that something happened, never what: the parent may be any site. */
function tellWidget(type) {
  if (isWidget) window.parent.postMessage({ type }, "*");
}

let noticeTimer;

/** A short interruption is nobody's business: the notice comes only when it lasts. */
function showConnection() {
  clearTimeout(noticeTimer);
  if (isConnected) notify("");
  else if (!navigator.onLine) notify("You are offline. What you write is sent when you are back.");
  else noticeTimer = setTimeout(() => notify("Connecting…"), NOTICE_DELAY_MS);
}

function notify(text) {
  if (!hasEnded) element("notice").textContent = text;
}

function announce(text) {
  element("announcement").textContent = text;
}

function endChat() {
  clearTimeout(noticeTimer);
  notify("This chat has been closed. New messages can no longer be sent.");
  hasEnded = true;
  textarea.disabled = true;
  form.classList.add("ended");
  paint();
}

function fitTextarea() {
  textarea.style.height = "auto";
  textarea.style.height = `${textarea.scrollHeight}px`;
}

function submit() {
  const text = textarea.value.trim();
  if (text && !hasEnded) write(text);
  textarea.value = "";
  fitTextarea();
  textarea.focus();
}

// --- Beginning --------------------------------------------------------------------------------------

function dress() {
  document.title = name;
  document.querySelector("h1").textContent = name;
  document.querySelector(".badge").textContent = [...name][0].toUpperCase();
  document.querySelector(".welcome-title").textContent = channelName.trim() ? `Say hello to ${name}` : "Say hello";
  element("close").hidden = !isWidget;
  for (const property of ["accent", "ink"]) {
    const color = options.get(property) ?? "";
    if (/^#[0-9a-f]{6}$/i.test(color)) document.documentElement.style.setProperty(`--${property}`, color);
  }
}

function wire() {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  textarea.addEventListener("input", fitTextarea);
  textarea.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  log.addEventListener("scroll", () => {
    isAtBottom = measureIsAtBottom();
    if (isAtBottom) jump.hidden = true;
  });
  new ResizeObserver(() => isAtBottom && scrollToBottom()).observe(log);
  jump.addEventListener("click", scrollToBottom);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) wake();
    showUnread();
  });
  window.addEventListener("online", wake);
  window.addEventListener("offline", () => client?.close());
}

function wireWidget() {
  element("close").addEventListener("click", () => tellWidget("tradewind:close"));
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) tellWidget("tradewind:close");
  });
  window.addEventListener("message", (event) => {
    if (event.source !== window.parent) return;
    if (event.data?.type === "tradewind:opened") {
      isOpen = true;
      textarea.focus();
    } else if (event.data?.type === "tradewind:closed") {
      isOpen = false;
    }
    showUnread();
  });
  tellWidget("tradewind:ready");
}

dress();
wire();
if (isWidget) wireWidget();
if (window.parent === window) textarea.focus();
restoreQueue();
paint();
showConnection();
listen();
sendQueue();
