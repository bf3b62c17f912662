// The reference of the API in a real browser: it shows what the document says, and needs nothing from elsewhere.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { Server, eventually, launchBrowser } from "./harness.mjs";

let server;
let browser;
let spec;

before(async () => {
  server = await Server.start();
  spec = await (await fetch(`${server.url}/openapi.json`)).json();
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await server?.dispose();
});

/** The page at `hash`. Errors of its script, refusals by its policy and requests to other hosts fail the test. */
async function openDocs(t, hash = "") {
  const context = await browser.newContext();
  context.setDefaultTimeout(15_000);
  const complaints = [];
  context.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  context.on("weberror", (error) => complaints.push(error.error().message));
  context.on("request", (request) => request.url().startsWith(server.url) || request.url().startsWith("data:") || complaints.push(request.url()));
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  const page = await context.newPage();
  await page.goto(`${server.url}/docs${hash}`);
  await page.locator(".endpoint").first().waitFor();
  return page;
}

test("every endpoint of the document is on the page and in its contents", async (t) => {
  const page = await openDocs(t);
  const paths = Object.keys(spec.paths);
  const shown = await page.locator(".endpoint .name").allTextContents();
  assert.deepEqual(shown.map((name) => name.split(" ")[1]), paths);
  assert.deepEqual(await page.locator("nav a").allTextContents(), paths.map((path) => path.slice(1)));
});

test("an address with the name of an endpoint opens it", async (t) => {
  const page = await openDocs(t, "#messages.send");
  const open = page.locator(".endpoint[open]");
  assert.deepEqual(await open.locator("> summary .name").allTextContents(), ["POST /messages.send"]);
  const text = await open.textContent();
  for (const part of ["message.text", "agent", "idempotency_key_reused", "Idempotency-Key", "\"pending\""]) {
    assert.ok(text.includes(part), `${part} is missing in ${text}`);
  }
  await page.locator("nav").getByRole("link", { name: "channels.list", exact: true }).click();
  await page.locator("[id='channels.list'][open]").waitFor();
});

test("the filter finds endpoints by name, field and error code", async (t) => {
  const page = await openDocs(t);
  await page.keyboard.press("/");
  for (const [words, names] of [
    ["overlap_seconds", ["webhooks.rotate-secret"]],
    ["too_many_replays", ["webhooks.replay"]],
    ["LIMIT wait", ["events.list"]],
    ["xyzzy", []],
  ]) {
    await page.locator("#filter").fill(words);
    await eventually(`${words} finds ${names}`, async () => {
      const seen = await page.locator("nav li:visible").allTextContents();
      if (seen.join() === names.join()) return true;
      throw new Error(seen.join());
    });
  }
  assert.ok(await page.locator("#notice").isVisible());
});

test("the curl line of an endpoint works as it stands", async (t) => {
  const page = await openDocs(t, "#channels.connect");
  const line = await page.locator("[id='channels.connect'] pre").first().textContent();
  const env = { ...process.env, TOKEN: server.adminToken };
  const { stdout } = await promisify(execFile)("bash", ["-c", line], { env });
  assert.equal(JSON.parse(stdout).name, "Shop");
});
