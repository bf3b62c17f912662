// Puts a chat button on any website:
//
//   <script src="https://HOST/embed.js" data-channel="CHANNEL_ID" async></script>
//
// Optional: data-label (what the button is called, "Chat"), data-position ("right" or "left"),
// data-color (the button and the visitor's bubbles, as #rrggbb).
//
// The chat itself is a page of HOST in a frame, so neither site can read the other; the two exchange only
// the names of events (opened, closed, unread). Everything here lives in a shadow root, built without
// inline styles or HTML, so that the website's own styles and its content security policy leave it alone.

(() => {
  "use strict";

  const script = document.currentScript ?? document.querySelector("script[data-channel][src*='/embed.js']");
  const { channel, label = "Chat", position = "right", color = "#0c5a66" } = script?.dataset ?? {};
  if (!channel) {
    console.error("Tradewind: the script tag needs data-channel with the id of a channel.");
    return;
  }
  const { origin } = new URL(script.src, location.href);

  const STYLES = `
    :host { all: initial !important; color-scheme: light dark !important; }
    * { box-sizing: border-box; }
    .launcher {
      position: fixed; z-index: 2147483001; bottom: max(20px, env(safe-area-inset-bottom)); right: 20px;
      width: 56px; height: 56px; padding: 0; border: 0; border-radius: 50%; cursor: pointer;
      background: var(--accent); color: var(--ink);
      box-shadow: 0 1px 2px rgb(8 28 34 / .25), 0 8px 24px rgb(8 28 34 / .22);
      transition: transform .16s ease;
    }
    .launcher:hover { transform: translateY(-2px); }
    .launcher:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; box-shadow: 0 0 0 3px #fff; }
    .launcher svg { position: absolute; inset: 14px; width: 28px; height: 28px; fill: none; stroke: currentColor;
      stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; transition: opacity .16s ease, transform .16s ease; }
    .launcher .cross, .launcher[aria-expanded=true] .bubble { opacity: 0; transform: scale(.6) rotate(-30deg); }
    .launcher[aria-expanded=true] .cross { opacity: 1; transform: none; }
    .dot { position: absolute; top: 1px; right: 1px; width: 15px; height: 15px; border-radius: 50%;
      background: #d92d20; border: 2px solid #fff; }
    .dot[hidden] { display: none; }
    .panel {
      position: fixed; z-index: 2147483000; bottom: calc(max(20px, env(safe-area-inset-bottom)) + 72px);
      right: 20px; width: 392px; height: min(640px, calc(100dvh - 120px)); overflow: hidden;
      border-radius: 20px; background: Canvas;
      box-shadow: 0 0 0 1px rgb(8 28 34 / .08), 0 24px 64px -12px rgb(8 28 34 / .36);
      transform-origin: bottom right; transition: opacity .16s ease, transform .16s ease, visibility 0s;
    }
    .left :is(.launcher, .panel) { left: 20px; right: auto; transform-origin: bottom left; }
    .panel[inert] { visibility: hidden; opacity: 0; transform: translateY(12px) scale(.98);
      transition: opacity .16s ease, transform .16s ease, visibility 0s .16s; }
    iframe { display: block; width: 100%; height: 100%; border: 0; color-scheme: normal; }
    .status { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
    @media (max-width: 480px), (max-height: 420px) {
      .panel { inset: 0 !important; width: 100%; height: 100%; border-radius: 0; }
      .launcher[aria-expanded=true] { bottom: auto; top: max(8px, env(safe-area-inset-top)); transform: scale(.72); }
      .ready .launcher[aria-expanded=true] { visibility: hidden; }
    }
    @media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
  `;

  const accent = /^#[0-9a-f]{6}$/i.test(color) ? color : "#0c5a66";
  const ink = readableOn(accent);

  /** Black or white, whichever has more contrast with `background` (WCAG 2 relative luminance). */
  function readableOn(background) {
    const [red, green, blue] = [1, 3, 5]
      .map((start) => parseInt(background.slice(start, start + 2), 16) / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
  }

  function create(tag, attributes = {}, ...children) {
    const isSvg = tag === "svg" || tag === "path";
    const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  const icon = (name, d) => create("svg", { class: name, viewBox: "0 0 24 24", "aria-hidden": "true" }, create("path", { d }));

  /** The stylesheet as an object, which a website's policy against inline styles does not concern. */
  function addStyles(root) {
    if ("adoptedStyleSheets" in root) {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLES);
      root.adoptedStyleSheets = [sheet];
    } else {
      root.append(create("style", {}, STYLES));
    }
  }

  function start() {
    const selector = `tradewind-chat[data-channel="${CSS.escape(channel)}"]`;
    if (document.querySelector(selector)) return; // the script is on the page twice
    const host = create("tradewind-chat", { "data-channel": channel });
    const root = host.attachShadow({ mode: "open" });
    addStyles(root);

    const dot = create("span", { class: "dot", hidden: "" });
    const launcher = create(
      "button", { class: "launcher", type: "button", "aria-expanded": "false", "aria-controls": "panel", title: label },
      icon("bubble", "M7 17H6a3 3 0 0 1-3-3V7.5a3 3 0 0 1 3-3h12a3 3 0 0 1 3 3V14a3 3 0 0 1-3 3h-6l-5 4zM8 9h8M8 12.5h5"),
      icon("cross", "M6 6l12 12M18 6L6 18"),
      dot,
    );
    const panel = create("div", { class: "panel", id: "panel", role: "dialog", "aria-label": label, inert: "" });
    const status = create("span", { class: "status", role: "status" });
    const widget = create("div", { class: position === "left" ? "left" : "right" }, panel, launcher, status);
    widget.style.setProperty("--accent", accent);
    widget.style.setProperty("--ink", ink);
    root.append(widget);
    document.body.append(host);

    let frame = null;
    let isReady = false;
    const isOpen = () => !panel.inert;
    const tellFrame = (type) => isReady && frame.contentWindow.postMessage({ type }, origin);

    /** A frame that never became ready (the server was away) is loaded anew. */
    function loadFrame() {
      if (isReady) return;
      frame?.remove();
      const options = new URLSearchParams({ widget: "", accent, ink });
      frame = create("iframe", { title: label, src: `${origin}/chat/${encodeURIComponent(channel)}#${options}` });
      panel.append(frame);
    }

    function setUnread(isUnread) {
      dot.hidden = !isUnread;
      const name = isUnread ? `${label}, new message` : label;
      launcher.setAttribute("aria-label", isOpen() ? `Close ${label}` : name);
      status.textContent = isUnread ? `${label}: new message` : "";
    }

    function open() {
      panel.inert = false;
      launcher.setAttribute("aria-expanded", "true");
      setUnread(false);
      loadFrame();
      frame.focus();
      tellFrame("tradewind:opened");
      remember();
    }

    function close() {
      if (!isOpen()) return;
      const hadFocus = root.activeElement !== null;
      panel.inert = true;
      launcher.setAttribute("aria-expanded", "false");
      setUnread(false);
      if (hadFocus) launcher.focus();
      tellFrame("tradewind:closed");
    }

    launcher.addEventListener("click", () => (isOpen() ? close() : open()));
    document.addEventListener("keydown", (event) => event.key === "Escape" && close());
    window.addEventListener("message", (event) => {
      if (event.source !== frame?.contentWindow || event.origin !== origin) return;
      if (event.data?.type === "tradewind:ready") {
        isReady = true;
        widget.classList.add("ready");
        tellFrame(isOpen() ? "tradewind:opened" : "tradewind:closed");
      } else if (event.data?.type === "tradewind:close") {
        close();
      } else if (event.data?.type === "tradewind:unread" && !isOpen()) {
        setUnread(true);
      }
    });

    setUnread(false);
    // Who opened the chat on an earlier page of this visit shall see the dot here too; others load nothing.
    if (wasOpened()) loadFrame();
  }

  const memory = `tradewind:${channel}:opened`;

  function remember() {
    try {
      sessionStorage.setItem(memory, "yes");
    } catch {
      // Without storage the next page only waits for the first click again.
    }
  }

  function wasOpened() {
    try {
      return sessionStorage.getItem(memory) !== null;
    } catch {
      return false;
    }
  }

  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
