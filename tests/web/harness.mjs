// What the tests share: a real server in a directory of its own, a visitor without a browser, a browser,
// and waiting for conditions. Nothing here sleeps for a guessed time.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const BINARY = process.env.TRADEWIND_BIN
  ?? fileURLToPath(new URL("../../target/debug/tradewind", import.meta.url));
const CHROMIUM = process.env.CHROMIUM_BIN ?? "/usr/bin/chromium";
const CHROMIUM_ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
export const ADMIN_TOKEN = "web-tests-0b1d7f6e5a4c4b0e9d3f2a1c";

/** Asks `probe` until its answer is truthy and returns that; in the end fails with what it answered last. */
export async function eventually(what, probe, timeoutMs = 15_000) {
  const deadline = Date.now() + timeoutMs;
  for (let seen; ; await delay(25)) {
    try {
      seen = await probe();
      if (seen) return seen;
    } catch (error) {
      seen = error;
    }
    if (Date.now() > deadline) {
      const last = seen instanceof Error ? seen.message : JSON.stringify(seen);
      assert.fail(`not within ${timeoutMs} ms: ${what}; last seen: ${last}`);
    }
  }
}

/** A `tradewind serve` process. It keeps its port and its data when it is killed and started again. */
export class Server {
  adminToken = ADMIN_TOKEN;
  #child;
  #data;
  #log = "";

  static async start() {
    const server = new Server();
    server.#data = await mkdtemp(path.join(tmpdir(), "tradewind-web-"));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    await server.run();
    return server;
  }

  async run() {
    const seenBefore = this.#log.length;
    this.#child = spawn(BINARY, ["serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.#data], {
      env: { ...foreignEnvironment(), TRADEWIND_API_TOKEN: ADMIN_TOKEN },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let ended = null;
    this.#child.once("error", (error) => (ended = error.message));
    this.#child.once("exit", (code, signal) => (ended = `it ended with ${signal ?? code}`));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on("data", (chunk) => (this.#log += chunk));
    }
    const said = () => this.#log.slice(seenBefore);
    await eventually(`${BINARY} says that it listens`, () => {
      if (ended || said().includes(this.url)) return true;
      throw new Error(`it has printed: ${said()}`);
    }, 30_000);
    assert.equal(ended, null, `${BINARY} did not start; it printed: ${said()}`);
  }

  /** Ends the process without giving it a chance to tidy up. */
  async kill() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  async dispose() {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
  }

  /** A JSON request; any status but 200 fails the test with the server's own words. */
  async post(endpoint, body, token = ADMIN_TOKEN, headers = {}) {
    const response = await fetch(`${this.url}${endpoint}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }), ...headers },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    assert.equal(response.status, 200, `${endpoint} answered ${response.status}: ${text}`);
    return JSON.parse(text);
  }

  async connectChannel(name = "Test shop", sourceChannelId = "web-test") {
    return this.post("/channels.connect", { source: "chat_plugin", source_channel_id: sourceChannelId, name });
  }

  async reply(conversationId, text) {
    return this.post("/messages.send", { conversation_id: conversationId, message: { text } });
  }

  async conversationIds() {
    const { data } = await this.post("/conversations.list", {});
    return data.map((conversation) => conversation.id);
  }

  /** The id of the one conversation that `act` begins. */
  async conversationBegunBy(act) {
    const before = await this.conversationIds();
    await act();
    return eventually("a conversation begins", async () => {
      const begun = (await this.conversationIds()).filter((id) => !before.includes(id));
      assert.ok(begun.length < 2, `one conversation, not ${begun.length}`);
      return begun[0];
    });
  }

  async visitor(channelId) {
    const { token } = await this.post("/chatplugin.authenticate", { channel_id: channelId }, null);
    return {
      token,
      send: (text, key = crypto.randomUUID()) =>
        this.post("/chatplugin.send", { message: { text } }, token, { "Idempotency-Key": key }),
    };
  }
}

/** The server reads every `TRADEWIND_…` as a setting and warns about those it does not know, such as TRADEWIND_BIN. */
function foreignEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TRADEWIND_")));
}

export async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

export function launchBrowser() {
  return chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
}
