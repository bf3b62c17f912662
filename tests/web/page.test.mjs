// The chat page and the widget in a real browser, against a real server that is also killed and started again.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { Server, eventually, launchBrowser } from "./harness.mjs";

let server;
let browser;
let channel;

before(async () => {
  server = await Server.start();
  channel = await server.connectChannel("Test shop");
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await server?.dispose();
});

const chatUrl = () => `${server.url}/chat/${channel.id}`;

/** A browser of its own for test `t`. What a page reports as refused by its security policy fails the test. */
async function newContext(t, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(15_000);
  const violations = [];
  context.on("console", (message) => message.text().includes("Content Security Policy") && violations.push(message.text()));
  t.after(async () => {
    await context.close();
    assert.deepEqual(violations, []);
  });
  return context;
}

async function openChat(t, options) {
  const page = await (await newContext(t, options)).newPage();
  await page.goto(chatUrl());
  await isConnected(page);
  return page;
}

/** The history is shown only once it is there, and the page subscribes before it fetches it again. */
const isConnected = (frame) => frame.locator("#log[aria-busy=false]").waitFor();

const textsOf = (frame) => frame.locator(".message .text").allTextContents();

async function shows(frame, texts) {
  let seen;
  await eventually(`the page shows ${JSON.stringify(texts)}`, async () => {
    seen = await textsOf(frame);
    if (JSON.stringify(seen) === JSON.stringify(texts)) return true;
    throw new Error(JSON.stringify(seen));
  });
}

async function write(page, text) {
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}

/** Waits until the last message on the page is in `state`: sending, waiting, failed or sent. */
async function lastStateIs(frame, state) {
  await eventually(`the last message is ${state}`, async () => {
    const seen = await frame.locator(".message").last().getAttribute("data-state", { timeout: 1000 });
    if (seen === state) return true;
    throw new Error(`it is ${seen}`);
  });
}

/** The page's first message, sent, and the conversation it began. */
async function begin(page, text = "Hello") {
  return server.conversationBegunBy(async () => {
    await write(page, text);
    await lastStateIs(page, "sent");
  });
}

/** What the server has stored, asked for with the page's own resume token. */
async function storedTexts(page) {
  const resumeToken = await page.evaluate((id) => localStorage.getItem(`tradewind:${id}:resume`), channel.id);
  const { messages } = await server.post("/chatplugin.authenticate", { resume_token: resumeToken }, null);
  return messages.map((message) => message.content.text);
}

/** Answers requests to `endpoint` by `answers` in turn (a function of the route, or a status), then by the server. */
async function intercept(page, endpoint, ...answers) {
  const keys = [];
  await page.route(`**${endpoint}`, async (route) => {
    keys.push(await route.request().headerValue("Idempotency-Key"));
    const answer = answers.shift();
    if (answer === undefined) return route.continue();
    if (typeof answer === "function") return answer(route);
    return route.fulfill({
      status: answer,
      contentType: "application/problem+json",
      headers: answer === 503 ? { "Retry-After": "1" } : {},
      body: JSON.stringify({ status: answer, code: "for_the_test", message: "For the test." }),
    });
  });
  return keys;
}

describe("writing and reading", () => {
  test("a conversation by keyboard only", async (t) => {
    const page = await openChat(t);
    assert.equal(await page.title(), "Test shop");
    assert.equal(await page.locator("h1").textContent(), "Test shop");
    assert.equal(await page.evaluate(() => document.activeElement.id), "text");

    const conversation = await server.conversationBegunBy(async () => {
      await page.keyboard.type("First line");
      await page.keyboard.press("Shift+Enter");
      await page.keyboard.type("second line");
      await page.keyboard.press("Enter");
      await lastStateIs(page, "sent");
    });
    await shows(page, ["First line\nsecond line"]);
    assert.equal(await page.locator("#text").inputValue(), "");
    assert.equal(await page.evaluate(() => document.activeElement.id), "text");

    await server.reply(conversation, "Good day!");
    await shows(page, ["First line\nsecond line", "Good day!"]);
    assert.deepEqual(await page.locator(".message").evaluateAll((all) => all.map((one) => one.classList[1])), ["mine", "reply"]);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Send");
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.type("Through the button");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await shows(page, ["First line\nsecond line", "Good day!", "Through the button"]);
  });

  test("nothing is sent for blank text", async (t) => {
    const page = await openChat(t);
    await write(page, "   ");
    await begin(page, "Something");
    await shows(page, ["Something"]);
  });

  test("what assistive technology is told", async (t) => {
    const page = await openChat(t);
    const conversation = await begin(page, "Hello");
    await server.reply(conversation, "Good day!");
    await shows(page, ["Hello", "Good day!"]);
    await page.getByRole("log", { name: "Messages" }).waitFor();
    assert.equal(await page.getByRole("log").getAttribute("aria-live"), "polite");
    await page.getByRole("textbox", { name: "Your message" }).waitFor();
    const items = await page.getByRole("listitem").allTextContents();
    assert.match(items.join("|"), /You: \s*Hello/);
    assert.match(items.join("|"), /Test shop: \s*Good day!/);
    const times = await page.locator(".message time").evaluateAll((all) => all.map((time) => time.dateTime));
    for (const time of times) assert.ok(Math.abs(new Date(time) - Date.now()) < 60_000, `a recent time: ${time}`);
  });

  test("a message is text, whatever it looks like", async (t) => {
    const page = await openChat(t);
    const markup = '<img src=x onerror="document.title=1"><b>bold</b> &amp; <script>alert(1)</script>';
    const conversation = await begin(page, markup);
    const links = "See https://example.com/a_(b)?x=1&y=2. Not javascript:alert(1), nor https://bank.example@evil.example/";
    await server.reply(conversation, markup);
    await server.reply(conversation, links);
    await shows(page, [markup, markup, links]);
    assert.equal(await page.locator(".text :is(img, b, script)").count(), 0);
    assert.equal(await page.title(), "Test shop");
    const found = await page.locator(".text a").evaluateAll((all) => all.map((a) => [a.getAttribute("href"), a.rel]));
    assert.deepEqual(found, [["https://example.com/a_(b)?x=1&y=2", "noopener noreferrer nofollow"]]);
  });

  test("an unknown channel has a page that says so", async (t) => {
    const page = await (await newContext(t)).newPage();
    const response = await page.goto(`${server.url}/chat/00000000-0000-4000-8000-000000000000`);
    assert.equal(response.status(), 404);
    await page.getByRole("heading", { name: "There is no chat here" }).waitFor();
  });

  test("a chat whose channel is gone ends, and keeps what was said", async (t) => {
    const page = await openChat(t);
    await begin(page, "Before");
    await intercept(page, "/chatplugin.send", 404);
    await write(page, "After");
    await page.getByRole("status").filter({ hasText: "This chat has been closed" }).waitFor();
    await lastStateIs(page, "failed");
    await shows(page, ["Before", "After"]);
    assert.ok(await page.locator("#text").isDisabled());
  });
});

describe("one conversation, many pages", () => {
  test("a reload resumes it", async (t) => {
    const page = await openChat(t);
    const conversation = await begin(page, "Before the reload");
    await server.reply(conversation, "An answer");
    await shows(page, ["Before the reload", "An answer"]);
    await page.reload();
    await shows(page, ["Before the reload", "An answer"]);
    await page.locator("#text").focus();
    await write(page, "After the reload");
    await lastStateIs(page, "sent");
    await server.reply(conversation, "Another answer");
    await shows(page, ["Before the reload", "An answer", "After the reload", "Another answer"]);
  });

  test("a second tab shows what the first one writes, and both show the reply", async (t) => {
    const first = await openChat(t);
    const conversation = await begin(first, "From the first tab");
    const second = await first.context().newPage();
    await second.goto(chatUrl());
    await shows(second, ["From the first tab"]);
    await write(second, "From the second tab");
    await shows(first, ["From the first tab", "From the second tab"]);
    await server.reply(conversation, "To both");
    const all = ["From the first tab", "From the second tab", "To both"];
    await shows(first, all);
    await shows(second, all);
  });

  test("two tabs opened at once begin one conversation", async (t) => {
    const context = await newContext(t);
    const [first, second] = await Promise.all([context.newPage(), context.newPage()]);
    const begun = [];
    await context.route("**/chatplugin.authenticate", async (route) => {
      if ("channel_id" in route.request().postDataJSON()) begun.push(route);
      else await route.continue();
    });
    await Promise.all([first.goto(chatUrl()), second.goto(chatUrl())]);
    await eventually("one tab asks for a session, the other waits for its lock", async () => {
      const locks = await first.evaluate(() => navigator.locks.query());
      return begun.length + locks.pending.length === 2;
    });
    assert.equal(begun.length, 1);
    await begun[0].continue();
    await Promise.all([isConnected(first), isConnected(second)]);
    assert.equal(begun.length, 1);
    await begin(first, "Who hears me?");
    await shows(second, ["Who hears me?"]);
  });

  test("a hidden reply is marked in the title until it is seen", async (t) => {
    const page = await openChat(t);
    const conversation = await begin(page);
    await setHidden(page, true);
    await server.reply(conversation, "Are you there?");
    await eventually("the title is marked", async () => (await page.title()) === "• Test shop");
    await setHidden(page, false);
    await eventually("the mark is gone", async () => (await page.title()) === "Test shop");
  });

  test("it works, for as long as the page is open, where the browser refuses to store anything", async (t) => {
    const context = await newContext(t);
    await context.addInitScript(() => {
      for (const kind of ["localStorage", "sessionStorage"]) {
        Object.defineProperty(window, kind, { get: () => { throw new DOMException("refused", "SecurityError"); } });
      }
      navigator.locks.request = () => Promise.reject(new DOMException("refused", "SecurityError"));
    });
    const page = await context.newPage();
    await page.goto(chatUrl());
    await isConnected(page);
    const conversation = await begin(page, "Hello");
    await server.reply(conversation, "Good day!");
    await shows(page, ["Hello", "Good day!"]);
  });
});

/** Playwright cannot hide a tab, so the page is told that it is hidden. */
async function setHidden(page, isHidden) {
  await page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
}

describe("when things go wrong", () => {
  test("a killed server loses nothing: what was written meanwhile is sent once", async (t) => {
    const page = await openChat(t);
    const conversation = await begin(page, "Before");
    await server.kill();
    await write(page, "Meanwhile");
    await lastStateIs(page, "waiting");
    await page.getByRole("status").filter({ hasText: "Connecting…" }).waitFor();
    await server.run();
    await lastStateIs(page, "sent");
    await server.reply(conversation, "After");
    await shows(page, ["Before", "Meanwhile", "After"]);
    assert.deepEqual(await storedTexts(page), ["Before", "Meanwhile", "After"]);
    await eventually("the notice is gone", async () => (await page.locator("#notice").textContent()) === "");
  });

  test("a page that was offline shows what it missed and sends what waits, once", async (t) => {
    const page = await openChat(t);
    const conversation = await begin(page, "Before");
    await page.context().setOffline(true);
    await page.getByRole("status").filter({ hasText: "You are offline" }).waitFor();
    await write(page, "Written offline");
    await lastStateIs(page, "waiting");
    await server.kill();
    await server.run();
    await server.reply(conversation, "Missed, one");
    await server.reply(conversation, "Missed, two");
    await page.context().setOffline(false);
    const all = ["Before", "Missed, one", "Missed, two", "Written offline"];
    await eventually("the server has all of them, the unsent one once", async () => {
      const stored = await storedTexts(page);
      if (stored.length === 4) return true;
      throw new Error(JSON.stringify(stored));
    });
    assert.deepEqual(await storedTexts(page), all);
    await shows(page, all);
  });

  test("an answer that got lost does not make a message twice", async (t) => {
    const page = await openChat(t);
    await begin(page, "Before");
    const keys = await intercept(page, "/chatplugin.send", async (route) => {
      await route.fetch();
      await route.abort("connectionreset");
    });
    await write(page, "Only once");
    await eventually("the page asks again", () => keys.length === 2);
    await lastStateIs(page, "sent");
    assert.equal(keys[0], keys[1]);
    await shows(page, ["Before", "Only once"]);
    assert.deepEqual(await storedTexts(page), ["Before", "Only once"]);
  });

  for (const first of ["echo", "answer"]) {
    test(`a message is one bubble when its ${first} comes first`, async (t) => {
      const page = await (await newContext(t)).newPage();
      const held = [];
      let isHolding = false;
      const hold = (what, release) => (isHolding && what !== first ? held.push(release) : release());
      await page.routeWebSocket(/\/ws\.chatplugin$/, (socket) => {
        const upstream = socket.connectToServer();
        upstream.onMessage((data) => (data.toString().startsWith("MESSAGE") ? hold("echo", () => socket.send(data)) : socket.send(data)));
      });
      await page.route("**/chatplugin.send", async (route) => {
        const response = await route.fetch();
        await hold("answer", () => route.fulfill({ response }));
      });
      await page.goto(chatUrl());
      await isConnected(page);
      await begin(page, "Before");
      isHolding = true;
      await write(page, "One bubble");
      await lastStateIs(page, "sent");
      await eventually("the other is held back", () => held.length === 1);
      await shows(page, ["Before", "One bubble"]);
      isHolding = false;
      held[0]();
      await write(page, "The next");
      await lastStateIs(page, "sent");
      await shows(page, ["Before", "One bubble", "The next"]);
    });
  }

  test("a socket that refuses the token gets a new one", async (t) => {
    const page = await (await newContext(t)).newPage();
    const steps = [];
    page.on("request", (request) => request.url().endsWith("/chatplugin.authenticate") && steps.push("authenticate"));
    await page.routeWebSocket(/\/ws\.chatplugin$/, (socket) => {
      const upstream = socket.connectToServer();
      socket.onMessage((data) => {
        const isFirst = data.startsWith("CONNECT") && !steps.includes("connect");
        if (data.startsWith("CONNECT")) steps.push("connect");
        if (isFirst) socket.send("ERROR\nmessage:401 the token has expired\n\n\0");
        else upstream.send(data);
      });
    });
    await page.goto(chatUrl());
    await eventually("the page connects again", () => steps.filter((step) => step === "connect").length === 2);
    assert.deepEqual(steps.slice(0, 4), ["authenticate", "connect", "authenticate", "connect"]);
    const conversation = await begin(page, "Hello");
    await server.reply(conversation, "Good day!");
    await shows(page, ["Hello", "Good day!"]);
  });

  test("the same text twice is two messages", async (t) => {
    const page = await openChat(t);
    await begin(page, "ok");
    await write(page, "ok");
    await write(page, "ok");
    await shows(page, ["ok", "ok", "ok"]);
    await eventually("the server has three", async () => (await storedTexts(page)).length === 3);
    await lastStateIs(page, "sent");
    await shows(page, ["ok", "ok", "ok"]);
  });

  test("an expired visitor token is renewed and the message sent under its key", async (t) => {
    const page = await openChat(t);
    await begin(page, "Before");
    const keys = await intercept(page, "/chatplugin.send", 401);
    await write(page, "With an old token");
    await eventually("the page asks again", () => keys.length === 2);
    await lastStateIs(page, "sent");
    assert.equal(keys[0], keys[1]);
    assert.deepEqual(await storedTexts(page), ["Before", "With an old token"]);
  });

  test("a resume token the server does not know begins a new conversation", async (t) => {
    const page = await openChat(t);
    await begin(page, "In the old conversation");
    await page.evaluate((id) => localStorage.setItem(`tradewind:${id}:resume`, "not-a-token"), channel.id);
    await page.reload();
    await isConnected(page);
    await page.locator("#text").focus();
    await begin(page, "In the new conversation");
    await shows(page, ["In the new conversation"]);
  });

  test("503 is tried again without being asked, in the order written", async (t) => {
    const page = await openChat(t);
    await begin(page, "Before");
    const keys = await intercept(page, "/chatplugin.send", 503);
    await write(page, "One");
    await write(page, "Two");
    await lastStateIs(page, "sent");
    assert.equal(keys[0], keys[1]);
    assert.notEqual(keys[1], keys[2]);
    assert.deepEqual(await storedTexts(page), ["Before", "One", "Two"]);
  });

  test("a refused message stays, and can be tried again by keyboard", async (t) => {
    const page = await openChat(t);
    await begin(page, "Before");
    const keys = await intercept(page, "/chatplugin.send", 400);
    await write(page, "Refused at first");
    await lastStateIs(page, "failed");
    await page.getByRole("status").filter({ hasText: "Your message was not sent." }).waitFor({ state: "attached" });
    await page.keyboard.press("Shift+Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Try again");
    await page.keyboard.press("Enter");
    await lastStateIs(page, "sent");
    assert.equal(keys[0], keys[1]);
    assert.deepEqual(await storedTexts(page), ["Before", "Refused at first"]);
  });

  test("what is not sent survives a reload", async (t) => {
    const page = await openChat(t);
    await begin(page, "Before");
    const keys = await intercept(page, "/chatplugin.send", ...Array(20).fill((route) => route.abort()));
    await write(page, "Still here");
    await lastStateIs(page, "waiting");
    await page.unroute("**/chatplugin.send");
    await page.reload();
    await lastStateIs(page, "sent");
    await shows(page, ["Before", "Still here"]);
    assert.ok(keys.length > 0);
    assert.deepEqual(await storedTexts(page), ["Before", "Still here"]);
  });

  test("a load while the server is away waits for it", async (t) => {
    const page = await (await newContext(t)).newPage();
    await intercept(page, "/chatplugin.authenticate", 503, 503);
    await page.goto(chatUrl());
    await isConnected(page);
    await begin(page, "Patience");
    await shows(page, ["Patience"]);
  });
});

describe("the look", () => {
  test("at 320 × 568 nothing is wider than the screen and the input is in view", async (t) => {
    const page = await openChat(t, { viewport: { width: 320, height: 568 }, isMobile: true, hasTouch: true });
    const conversation = await begin(page, "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen".repeat(3));
    await server.reply(conversation, `https://example.com/${"long-path/".repeat(30)}`);
    await eventually("both are shown", async () => (await textsOf(page)).length === 2);
    const seen = await page.evaluate(() => {
      const { top, bottom, left, right } = document.querySelector("#text").getBoundingClientRect();
      const log = document.querySelector("#log");
      return {
        pageWidth: document.documentElement.scrollWidth,
        logOverflow: log.scrollWidth - log.clientWidth,
        isInView: top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth,
        fontSize: parseFloat(getComputedStyle(document.querySelector("#text")).fontSize),
        isAtBottom: log.scrollHeight - log.scrollTop - log.clientHeight < 2,
      };
    });
    assert.ok(seen.fontSize >= 16, "a smaller input makes phones zoom");
    delete seen.fontSize;
    assert.deepEqual(seen, { pageWidth: 320, logOverflow: 0, isInView: true, isAtBottom: true });
  });

  for (const colorScheme of ["light", "dark"]) {
    test(`text has enough contrast (${colorScheme})`, async (t) => {
      const page = await openChat(t, { colorScheme, reducedMotion: "reduce" });
      const conversation = await begin(page, "Hello");
      await server.reply(conversation, "A link: https://example.com");
      await page.locator(".reply a").waitFor();
      const parts = ["h1", ".badge", ".mine .text", ".reply .text", ".reply .text a", ".reply .meta", ".mine .state", ".day time", ".hint", ".mark"];
      for (const part of parts) {
        const ratio = await page.locator(part).first().evaluate(contrast);
        assert.ok(ratio >= 4.5, `${part}: ${ratio.toFixed(2)}`);
      }
    });
  }

  test("reading back, the page stays where it is and points out a new reply", async (t) => {
    const page = await openChat(t, { viewport: { width: 400, height: 500 } });
    const conversation = await begin(page, "line\n".repeat(5));
    for (let index = 0; index < 8; index++) await server.reply(conversation, `Reply ${index}\n\n\nwith lines`);
    await eventually("all are shown", async () => (await textsOf(page)).length >= 9);
    await page.locator("#log").evaluate((log) => (log.scrollTop = 0));
    const jump = page.getByRole("button", { name: "New message" });
    await eventually("the scroll is noticed", async () => {
      await server.reply(conversation, "One more");
      return jump.isVisible();
    });
    assert.equal(await page.locator("#log").evaluate((log) => log.scrollTop), 0);
    await jump.click();
    await jump.waitFor({ state: "hidden" });
  });
});

/** The contrast (WCAG 2) of an element's text with the first opaque background behind it. Runs in the page. */
function contrast(node) {
  const luminance = (color) => {
    const [red, green, blue] = color.match(/[\d.]+/g).slice(0, 3)
      .map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  let behind = node;
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
  const [low, high] = [getComputedStyle(node).color, getComputedStyle(behind).backgroundColor]
    .map(luminance).sort((one, other) => one - other);
  return (high + 0.05) / (low + 0.05);
}

describe("the widget on another website", () => {
  let website;

  before(async () => {
    website = createServer((request, response) => {
      const settings = new URL(request.url, "http://localhost").searchParams.get("settings") ?? "";
      const script = `<script src="${server.url}/embed.js" data-channel="${channel.id}" ${settings} async></script>`;
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      // A strict policy and loud styles: the widget must bear both.
      response.setHeader("Content-Security-Policy", `default-src 'none'; script-src ${server.url}; frame-src ${server.url}; style-src 'nonce-own'`);
      response.end(`<!doctype html><title>A website</title>
        <style nonce="own">body * { color: red !important; transform: rotate(3deg) !important } button { display: none }</style>
        ${script}${script}<h1>A website</h1>`);
    });
    await new Promise((resolve) => website.listen(0, "localhost", resolve));
  });

  after(() => website?.close());

  async function openWebsite(t, { settings = "", ...options } = {}) {
    const page = await (await newContext(t, options)).newPage();
    const url = new URL(`http://localhost:${website.address().port}/`);
    if (settings) url.searchParams.set("settings", settings);
    await page.goto(url.href);
    await page.locator(".launcher").waitFor();
    return page;
  }

  const focusIsInFrame = (page) => page.evaluate(() =>
    document.querySelector("tradewind-chat").shadowRoot.activeElement?.localName === "iframe");
  const focusIsOnLauncher = (page) => page.evaluate(() =>
    document.querySelector("tradewind-chat").shadowRoot.activeElement?.classList.contains("launcher") ?? false);

  async function openWidget(page) {
    await page.locator(".launcher").focus();
    await page.keyboard.press("Enter");
    const frame = await eventually("the chat is in its frame", () =>
      page.frames().find((candidate) => candidate.url().includes("/chat/")));
    await isConnected(frame);
    await eventually("the focus is in the frame", () => focusIsInFrame(page));
    await eventually("the input has it", () => frame.evaluate(() => document.activeElement.id === "text"));
    return frame;
  }

  test("opens, talks and closes by keyboard", async (t) => {
    const page = await openWebsite(t);
    assert.equal(await page.locator("tradewind-chat").count(), 1, "one button, though the script is there twice");
    assert.equal(await page.locator("iframe").count(), 0, "nothing is loaded before it is asked for");
    const launcher = page.locator(".launcher");
    assert.equal(await launcher.getAttribute("aria-expanded"), "false");

    const frame = await openWidget(page);
    assert.equal(await launcher.getAttribute("aria-expanded"), "true");
    const conversation = await server.conversationBegunBy(async () => {
      await write(page, "From the website");
      await lastStateIs(frame, "sent");
    });
    await server.reply(conversation, "To the website");
    await shows(frame, ["From the website", "To the website"]);

    await page.keyboard.press("Escape");
    await eventually("the focus is back on the button", () => focusIsOnLauncher(page));
    assert.equal(await launcher.getAttribute("aria-expanded"), "false");
    await page.locator(".panel").waitFor({ state: "hidden" });

    await server.reply(conversation, "While it is closed");
    await page.locator(".dot").waitFor();
    assert.equal(await launcher.getAttribute("aria-label"), "Chat, new message");
    await page.keyboard.press("Enter");
    await eventually("the focus is in the frame again", () => focusIsInFrame(page));
    await shows(frame, ["From the website", "To the website", "While it is closed"]);
    await page.locator(".dot").waitFor({ state: "hidden" });

    await eventually("the input has it", () => frame.evaluate(() => document.activeElement.id === "text"));
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Shift+Tab");
    assert.equal(await frame.evaluate(() => document.activeElement.getAttribute("aria-label")), "Close chat");
    await page.keyboard.press("Enter");
    await eventually("the focus is back on the button", () => focusIsOnLauncher(page));
  });

  test("Escape closes it from the website as well", async (t) => {
    const page = await openWebsite(t);
    await openWidget(page);
    await page.locator(".launcher").focus();
    await page.keyboard.press("Escape");
    await page.locator(".panel").waitFor({ state: "hidden" });
    assert.ok(await focusIsOnLauncher(page));
  });

  test("its name, place and colour are the website's choice", async (t) => {
    const page = await openWebsite(t, { settings: 'data-label="Ask us" data-position="left" data-color="#f2a33a"' });
    const launcher = page.getByRole("button", { name: "Ask us" });
    const box = await launcher.boundingBox();
    assert.ok(box.x < 100, `on the left, not at ${box.x}`);
    const colors = () => launcher.evaluate((node) => [getComputedStyle(node).backgroundColor, getComputedStyle(node).color]);
    assert.deepEqual(await colors(), ["rgb(242, 163, 58)", "rgb(0, 0, 0)"]);
    const frame = await openWidget(page);
    const badge = frame.locator(".badge");
    assert.equal(await badge.evaluate((node) => getComputedStyle(node).backgroundColor), "rgb(242, 163, 58)");
  });

  test("on a phone it fills the screen and can be closed there", async (t) => {
    const page = await openWebsite(t, { viewport: { width: 360, height: 640 } });
    const frame = await openWidget(page);
    assert.deepEqual(await page.locator("iframe").boundingBox(), { x: 0, y: 0, width: 360, height: 640 });
    await page.locator(".launcher").waitFor({ state: "hidden" });
    await frame.getByRole("button", { name: "Close chat" }).click();
    await page.locator(".panel").waitFor({ state: "hidden" });
    await page.locator(".launcher").waitFor();
  });

  test("the website learns that something happened, never what", async (t) => {
    const page = await openWebsite(t);
    await page.evaluate(() => {
      window.heard = [];
      window.addEventListener("message", (event) => window.heard.push(event.data));
    });
    const frame = await openWidget(page);
    const conversation = await server.conversationBegunBy(async () => {
      await write(page, "A secret");
      await lastStateIs(frame, "sent");
    });
    await page.keyboard.press("Escape");
    await server.reply(conversation, "Another secret");
    await page.locator(".dot").waitFor();
    const heard = await page.evaluate(() => window.heard);
    assert.deepEqual(heard.map((data) => Object.keys(data).join()), heard.map(() => "type"));
    assert.deepEqual(new Set(heard.map((data) => data.type)), new Set(["tradewind:ready", "tradewind:close", "tradewind:unread"]));
  });
});
