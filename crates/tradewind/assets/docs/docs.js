// Shows /openapi.json to people. Nothing is known here of any endpoint: what the document says, is shown.

const TYPES = { "application/json": 1, "application/problem+json": 1 };
/** Characters of a request that still stands on one line. */
const LINE = 72;

let spec;

/** An element with attributes and children; texts are texts, never markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child != null));
  return made;
}

/** Paragraphs, with what stands between backticks as code. */
function prose(text = "") {
  return text.split("\n\n").filter(Boolean).map((paragraph) => element("p", {}, phrases(paragraph)));
}

function phrases(text = "") {
  const code = (part, at) => (at % 2 ? element("code", {}, part) : part);
  return text.split("`").map(code);
}

/** What a reference points to. */
function resolve(value) {
  if (!value?.$ref) return value ?? {};
  const path = value.$ref.slice(2).split("/");
  return path.reduce((found, key) => found[key.replaceAll("~1", "/").replaceAll("~0", "~")], spec);
}

/** The one media type of a body. */
function content(body) {
  const [type] = Object.keys(body?.content ?? {}).filter((type) => TYPES[type]);
  return type ? body.content[type] : undefined;
}

/** The schema that is meant where `null` would do as well. */
function meant(schema) {
  const resolved = resolve(schema);
  const either = resolved.oneOf?.find((one) => resolve(one).type !== "null");
  return either ? { ...resolve(either), description: resolved.description ?? resolve(either).description } : resolved;
}

function typeOf(schema) {
  const { type, format, items, enum: values, additionalProperties } = meant(schema);
  const names = [type].flat().filter(Boolean);
  const nullable = names.includes("null") || resolve(schema).oneOf?.some((one) => one.type === "null");
  let name = names.filter((one) => one !== "null").join(" or ") || "any";
  if (items) name = `list of ${typeOf(items).name}`;
  else if (values) name = values.map((value) => JSON.stringify(value)).join(" | ");
  else if (format === "uuid") name = "UUID";
  else if (format === "date-time") name = "time";
  else if (type === "object" && typeof additionalProperties === "object") name = "object";
  return { name, nullable };
}

/** The fields of an object, and those of the objects within, under their paths. */
function fields(schema, path = "", seen = []) {
  const { properties = {}, required = [] } = schema;
  return Object.entries(properties).flatMap(([key, property]) => {
    const { name, nullable } = typeOf(property);
    const field = { path: path + key, type: name, nullable, required: required.includes(key) };
    field.about = resolve(property).description ?? property.description ?? meant(property).description;
    const inner = meant(meant(property).items ?? property);
    if (!inner.properties || seen.includes(inner)) return [field];
    const within = meant(property).items ? `${field.path}[].` : `${field.path}.`;
    return [field, ...fields(inner, within, [...seen, inner])];
  });
}

function table(titles, rows) {
  const head = element("tr", {}, titles.map((title) => element("th", { scope: "col" }, title)));
  const body = rows.map((row) => element("tr", {}, row.map((cell) => element("td", {}, cell))));
  return element("div", { class: "scroll", tabindex: "0" },
    element("table", {}, element("thead", {}, head), element("tbody", {}, body)));
}

function fieldTable(schema, isRequest) {
  const rows = fields(meant(schema)).map((field) => [
    element("code", {}, field.path),
    [field.type, field.nullable && !isRequest ? " or null" : null],
    isRequest && field.required ? "required" : isRequest || !field.required ? element("span", { class: "optional" }, "optional") : "",
    phrases(field.about),
  ]);
  return rows.length ? table(["field", "type", "", ""], rows) : element("p", {}, "No fields.");
}

function example(text) {
  const copy = element("button", {
    type: "button",
    onclick: async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), 1500);
    },
  }, "Copy");
  // Only where the browser lets pages write to the clipboard.
  return element("div", { class: "example" }, element("pre", { tabindex: "0" }, text), navigator.clipboard ? copy : null);
}

function scopeOf(operation) {
  const [needed] = operation.security ?? [];
  if (!needed) return { name: "open", about: "It needs no token." };
  const [scheme, scopes] = Object.entries(needed)[0];
  const about = resolve(spec.components.securitySchemes[scheme]).description ?? "";
  if (!scopes.length) return { name: scheme, about };
  return { name: scopes[0], about: `It needs an API token with the scope \`${scopes[0]}\`${scopes[0] === "admin" ? "" : " or more"}.` };
}

function curl(method, path, operation) {
  const parts = [`curl ${location.origin}${path}`];
  const [needed] = operation.security ?? [];
  const token = needed && ("token" in needed ? "TOKEN" : `${Object.keys(needed)[0].toUpperCase()}_TOKEN`);
  if (token) parts.push(`-H "Authorization: Bearer $${token}"`);
  const body = content(operation.requestBody)?.example;
  if (body) {
    parts.push(`-H "Content-Type: application/json"`);
    const short = JSON.stringify(body);
    const text = short.length > LINE ? JSON.stringify(body, null, 2) : short;
    parts.push(`-d '${text.replaceAll("'", "'\\''")}'`);
  } else if (method === "post") {
    parts.push("-X POST");
  }
  return parts.join(" \\\n  ");
}

function errorTable(operation) {
  const problems = Object.entries(operation.responses).filter(([status]) => status >= 400);
  const rows = problems.flatMap(([status, response]) =>
    Object.entries(content(resolve(response))?.examples ?? {}).map(([code, { value }]) => [
      element("span", { class: "status" }, status),
      element("code", {}, code),
      value.detail,
    ]));
  return table(["status", "code", "such as"], rows);
}

function endpoint(method, path, operation) {
  const name = path.slice(1);
  const scope = scopeOf(operation);
  const request = content(operation.requestBody);
  const successes = Object.entries(operation.responses).filter(([status]) => status < 300);
  const headers = (operation.parameters ?? []).map(resolve);
  const body = [
    prose(operation.description),
    prose(scope.about),
    element("h3", {}, "Call"),
    example(curl(method, path, operation)),
    request && [
      element("h3", {}, "Request", operation.requestBody.required ? null : element("span", { class: "optional" }, " (can be left out)")),
      prose(meant(request.schema).description),
      fieldTable(request.schema, true),
    ],
    headers.length ? [
      element("h3", {}, "Headers"),
      table(["header", ""], headers.map((header) => [element("code", {}, header.name), phrases(header.description)])),
    ] : null,
    successes.map(([status, response]) => [
      element("h3", {}, `Answer ${status}`),
      prose(resolve(response).description),
      example(JSON.stringify(content(resolve(response))?.example, null, 2)),
      element("details", {}, element("summary", {}, "Fields"), fieldTable(content(resolve(response))?.schema, false)),
    ]),
    element("h3", {}, "Errors"),
    errorTable(operation),
  ];
  const made = element("details", { class: "endpoint", id: name },
    element("summary", {},
      element("span", { class: "name" }, `${method.toUpperCase()} ${path}`),
      element("span", { class: "about" }, phrases(operation.summary)),
      element("span", { class: "scope" }, scope.name)),
    element("div", { class: "body" }, body.flat(Infinity).filter(Boolean)));
  return { name, made, text: made.textContent.toLowerCase() };
}

/** All endpoints of a namespace, and its part of the list at the side. */
function namespace(tag) {
  const operations = Object.entries(spec.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => [method, path, operation]));
  const own = operations.filter(([, , operation]) => operation.tags?.includes(tag.name));
  const endpoints = own.map((operation) => endpoint(...operation));
  for (const one of endpoints) {
    one.link = element("li", {}, element("a", { href: `#${one.name}` }, one.name));
  }
  const section = element("section", { class: "namespace", "aria-label": tag.name },
    element("h2", {}, tag.name), element("p", {}, phrases(tag.description)),
    endpoints.map(({ made }) => made));
  const contents = element("div", {}, element("h2", {}, tag.name), element("ul", {}, endpoints.map(({ link }) => link)));
  return { section, contents, endpoints };
}

/** Opens the endpoint that the address names. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!named?.classList.contains("endpoint")) return;
  named.open = true;
  named.scrollIntoView();
}

/** Shows what has all of these words. */
function filter(namespaces, words) {
  let count = 0;
  for (const { section, contents, endpoints } of namespaces) {
    const shown = endpoints.filter(({ made, link, text }) => {
      const fits = words.every((word) => text.includes(word));
      made.hidden = link.hidden = !fits;
      return fits;
    });
    section.hidden = contents.hidden = shown.length === 0;
    count += shown.length;
  }
  return count;
}

function listen(namespaces) {
  const input = document.getElementById("filter");
  const found = document.getElementById("found");
  const notice = document.getElementById("notice");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const count = filter(namespaces, words);
    found.textContent = `${count} endpoints`;
    notice.hidden = count > 0;
    notice.textContent = "No endpoint has all of these words.";
  });
  document.getElementById("search").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target === input) return;
    event.preventDefault();
    input.focus();
  });
  addEventListener("hashchange", openNamed);
}

async function show() {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`/openapi.json was answered with ${answer.status}`);
  spec = await answer.json();
  document.getElementById("version").textContent = spec.info.version;
  document.getElementById("about").append(
    ...prose(spec.info.description),
    element("p", {}, "The same for programs: ", element("a", { href: "/openapi.json" }, "/openapi.json"), " (OpenAPI ", spec.openapi, ")."));
  const namespaces = spec.tags.map(namespace);
  document.getElementById("contents").append(...namespaces.map(({ contents }) => contents));
  document.getElementById("endpoints").append(...namespaces.map(({ section }) => section));
  document.getElementById("notice").hidden = true;
  listen(namespaces);
  openNamed();
}

show().catch((error) => {
  document.getElementById("notice").textContent = `The document cannot be shown: ${error.message}`;
});
