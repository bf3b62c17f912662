//! What no endpoint may be impressed by. Each test tries all that it knows and reports all that went
//! wrong: the refusal has its status and code, says which field is at fault, and the server is well.

use std::{fmt::Write as _, time::Duration};

use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    server::{Answer, Server, TOKEN},
    visitor::Visitor,
};

const JSON: (&str, &str) = ("content-type", "application/json");
const DEEP: usize = 10_000;
/// The default webhook.
const WEBHOOK: &str = "339ab777-92aa-43a5-b452-82e73c50fc59";

use Kind::{Flag, Id, List, Number, Object, Text};

/// What the value of a field must be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Id,
    Number,
    Object,
    Flag,
    List,
}

struct Field {
    /// As a refusal names it: `message.text`.
    name: &'static str,
    kind: Kind,
    required: bool,
}

fn field(name: &'static str, kind: Kind) -> Field {
    let required = true;
    Field {
        name,
        kind,
        required,
    }
}

impl Field {
    fn optional(self) -> Self {
        let required = false;
        Self { required, ..self }
    }

    fn pointer(&self) -> String {
        format!("/{}", self.name.replace('.', "/"))
    }

    fn wrong_values(&self) -> Vec<Value> {
        let mut wrong = vec![json!(1.5)];
        if !matches!(self.kind, Flag) {
            wrong.push(json!(true));
        }
        if !matches!(self.kind, List) {
            wrong.push(json!([]));
        }
        match self.kind {
            Flag | List => wrong.extend([json!(1), json!("true"), json!({})]),
            Text => wrong.extend([json!(1), json!({})]),
            Id => wrong.extend([
                json!(1),
                json!({}),
                json!(""),
                json!("nonsense"),
                json!("625c0084-1043-5727-bfd9-40366ef08a6"),
                json!("625c0084-1043-5727-bfd9-40366ef08a6g"),
                json!("625c0084-1043-5727-bfd9-40366ef08a64\0"),
            ]),
            Number => wrong.extend([json!("20"), json!({}), json!(1e300), json!(u64::MAX)]),
            Object => wrong.extend([json!(1), json!("text")]),
        }
        if self.required {
            wrong.push(Value::Null);
        }
        wrong
    }
}

struct Endpoint {
    verb: &'static str,
    token: String,
    /// A body that it accepts.
    body: Value,
    fields: Vec<Field>,
}

impl Endpoint {
    fn headers(&self) -> [(&str, &str); 2] {
        [JSON, ("authorization", &self.token)]
    }

    fn takes_no_body(&self) -> bool {
        self.fields.iter().all(|field| !field.required) && self.verb != "chatplugin.authenticate"
    }

    /// The accepted body with another value in this field.
    fn with(&self, field: &Field, value: Value) -> String {
        let mut body = self.body.clone();
        *body.pointer_mut(&field.pointer()).unwrap() = value;
        body.to_string()
    }

    /// The accepted body without this field.
    fn without(&self, field: &Field) -> String {
        let mut body = self.body.clone();
        let pointer = field.pointer();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = body.pointer_mut(parent).unwrap().as_object_mut();
        parent.unwrap().shift_remove(key);
        body.to_string()
    }
}

fn endpoints_of_the_api(conversation: &str) -> Vec<Endpoint> {
    let page = || {
        [
            field("cursor", Text).optional(),
            field("page_size", Number).optional(),
        ]
    };
    let [cursor, page_size] = page();
    let table = [
        (
            "channels.connect",
            json!({"source": "chat_plugin", "source_channel_id": "shop", "name": "Shop", "image_url": "", "token": ""}),
            of_channel(),
        ),
        (
            "channels.disconnect",
            json!({ "channel_id": "00000000-0000-7000-8000-000000000000" }),
            vec![field("channel_id", Id)],
        ),
        ("channels.list", json!({}), vec![]),
        (
            "conversations.list",
            json!({"filters": null, "cursor": null, "page_size": 20}),
            [field("filters", Text).optional()]
                .into_iter()
                .chain(page())
                .collect(),
        ),
        (
            "conversations.info",
            json!({ "conversation_id": conversation }),
            vec![field("conversation_id", Id)],
        ),
        events_list(conversation),
        (
            "messages.list",
            json!({"conversation_id": conversation, "cursor": null, "page_size": 20}),
            vec![field("conversation_id", Id), cursor, page_size],
        ),
        messages_search(),
        (
            "messages.send",
            json!({"conversation_id": conversation, "message": {"text": "hello"}}),
            vec![
                field("conversation_id", Id),
                field("message", Object),
                field("message.text", Text),
            ],
        ),
    ];
    let endpoint = |(verb, body, fields)| Endpoint {
        verb,
        token: TOKEN.to_owned(),
        body,
        fields,
    };
    let of_webhooks = endpoints_of_webhooks(conversation).into_iter();
    of_webhooks.chain(table).map(endpoint).collect()
}

fn messages_search() -> Row {
    (
        "messages.search",
        json!({"query": "hello", "conversation_id": null, "cursor": null, "page_size": 20}),
        vec![
            field("query", Text),
            field("conversation_id", Id).optional(),
            field("cursor", Text).optional(),
            field("page_size", Number).optional(),
        ],
    )
}

fn of_channel() -> Vec<Field> {
    vec![
        field("source", Text),
        field("source_channel_id", Text),
        field("name", Text).optional(),
        field("image_url", Text).optional(),
        field("token", Text).optional(),
    ]
}

type Row = (&'static str, Value, Vec<Field>);

/// The first makes the webhook that the others look after.
fn endpoints_of_webhooks(conversation: &str) -> Vec<Row> {
    let id = || field("id", Id).optional();
    let page = || {
        [
            field("cursor", Text).optional(),
            field("page_size", Number).optional(),
        ]
    };
    let attempts = [
        id(),
        field("conversation_id", Id).optional(),
        field("message_id", Id).optional(),
        field("failed", Flag).optional(),
    ];
    let replay = vec![
        id(),
        field("since", Text).optional(),
        field("until", Text).optional(),
        field("conversation_id", Id).optional(),
        field("message_id", Id).optional(),
        field("failed", Flag).optional(),
        field("dry_run", Flag).optional(),
    ];
    vec![
        (
            "webhooks.subscribe",
            json!({"url": "http://127.0.0.1:9/", "headers": {"X-Key": "1"}, "id": WEBHOOK, "name": "", "events": null,
                "senders": null, "paused": false}),
            vec![
                field("url", Text),
                field("headers", Object).optional(),
                field("headers.X-Key", Text),
                field("id", Id).optional(),
                field("name", Text).optional(),
                field("events", List).optional(),
                field("senders", List).optional(),
                field("paused", Flag).optional(),
            ],
        ),
        ("webhooks.list", json!({}), vec![]),
        (
            "webhooks.rotate-secret",
            json!({"id": WEBHOOK, "overlap_seconds": 60}),
            vec![id(), field("overlap_seconds", Number).optional()],
        ),
        (
            "webhooks.attempts",
            json!({"id": WEBHOOK, "conversation_id": conversation, "message_id": null, "failed": null,
                "cursor": null, "page_size": 20}),
            attempts.into_iter().chain(page()).collect(),
        ),
        (
            "webhooks.failed",
            json!({"id": WEBHOOK, "cursor": null, "page_size": 20}),
            [id()].into_iter().chain(page()).collect(),
        ),
        (
            "webhooks.replay",
            json!({"id": WEBHOOK, "since": null, "until": null, "conversation_id": null, "message_id": null,
                "failed": true, "dry_run": false}),
            replay,
        ),
        ("webhooks.test", json!({ "id": WEBHOOK }), vec![id()]),
        ("webhooks.stats", json!({ "id": WEBHOOK }), vec![id()]),
        ("webhooks.info", json!({ "id": WEBHOOK }), vec![id()]),
        ("webhooks.unsubscribe", json!({ "id": WEBHOOK }), vec![id()]),
    ]
}

fn events_list(conversation: &str) -> Row {
    let body = json!({"cursor": null, "wait": 0, "limit": 20, "conversation_id": conversation});
    let fields = vec![
        field("cursor", Text).optional(),
        field("wait", Number).optional(),
        field("limit", Number).optional(),
        field("conversation_id", Id).optional(),
    ];
    ("events.list", body, fields)
}

fn endpoints_of_visitors(visitor: &Visitor, channel: &str) -> [Endpoint; 3] {
    let authenticate = vec![
        field("channel_id", Id).optional(),
        field("resume_token", Text).optional(),
    ];
    let send = vec![field("message", Object), field("message.text", Text)];
    [
        Endpoint {
            verb: "chatplugin.authenticate",
            token: String::new(),
            body: json!({"channel_id": channel, "resume_token": null}),
            fields: authenticate,
        },
        Endpoint {
            verb: "chatplugin.resumeToken",
            token: visitor.token.clone(),
            body: json!({}),
            fields: vec![],
        },
        Endpoint {
            verb: "chatplugin.send",
            token: visitor.token.clone(),
            body: json!({"message": {"text": "hello"}}),
            fields: send,
        },
    ]
}

/// The server, its endpoints, and what was wrong so far.
struct World {
    server: Server,
    endpoints: Vec<Endpoint>,
    faults: String,
}

impl World {
    async fn new() -> Self {
        Self::on(Server::start().await).await
    }

    async fn on(server: Server) -> Self {
        let (visitor, conversation) = server.converse("hello").await;
        let channel = server.connect_channel().await;
        let mut endpoints = endpoints_of_the_api(&conversation);
        endpoints.extend(endpoints_of_visitors(&visitor, &channel));
        Self {
            server,
            endpoints,
            faults: String::new(),
        }
    }

    fn at(&self, verb: &str) -> usize {
        let found = self
            .endpoints
            .iter()
            .position(|endpoint| endpoint.verb == verb);
        found.unwrap()
    }

    fn endpoint(&self, verb: &str) -> &Endpoint {
        &self.endpoints[self.at(verb)]
    }

    fn fault(&mut self, what: &str, why: &str) {
        let what: String = what.chars().take(200).collect();
        writeln!(self.faults, "{what}: {why}").unwrap();
    }

    /// Sends a body, and notes it unless it is refused with this status and code.
    async fn refuses(&mut self, at: usize, body: impl AsRef<[u8]>, expected: Refusal<'_>) {
        let endpoint = &self.endpoints[at];
        let body = body.as_ref().to_vec();
        let what = format!("{} {}", endpoint.verb, String::from_utf8_lossy(&body));
        let answer = self
            .server
            .request(Method::POST, endpoint.verb, &endpoint.headers(), body)
            .await;
        let why = match answer {
            Ok(answer) => expected.fault(&answer),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            self.fault(&what, &why);
        }
    }

    /// Subscribes a webhook with this, which must be refused and name the field.
    async fn refuses_webhook(&mut self, webhook: Value, field: &str) {
        let at = self.at("webhooks.subscribe");
        self.refuses(at, webhook.to_string(), invalid(field)).await;
    }

    /// Fails if anything was wrong, or if the server is not as well as it was.
    async fn check(self) {
        let health = self.server.get("health").await;
        assert_eq!(health.status, 200, "{}", health.text);
        assert!(!self.server.log().contains("panicked"));
        assert!(self.faults.is_empty(), "\n{}", self.faults);
    }
}

/// How a request should be refused.
#[derive(Clone, Copy)]
struct Refusal<'a> {
    status: u16,
    codes: &'a [&'a str],
    /// What the message must contain.
    names: &'a str,
}

const MALFORMED: Refusal<'static> = refusal(400, &["malformed_json"], "the body is not JSON");

const fn refusal<'a>(status: u16, codes: &'a [&'a str], names: &'a str) -> Refusal<'a> {
    Refusal {
        status,
        codes,
        names,
    }
}

/// A field is at fault, and named.
fn invalid(field: &str) -> Refusal<'_> {
    refusal(400, &["invalid_request"], field)
}

impl Refusal<'_> {
    /// Why the answer is not this refusal, if it is not.
    fn fault(&self, answer: &Answer) -> Option<String> {
        let problem = match problem(answer) {
            Ok(problem) => problem,
            Err(why) => return Some(format!("{why}: {answer:?}")),
        };
        let text = |key: &str| problem[key].as_str().unwrap_or_default();
        let right = answer.status == self.status
            && self.codes.contains(&text("code"))
            && text("message").contains(self.names);
        (!right).then(|| format!("answered {}", answer.text))
    }
}

/// The body of an answer that must be a problem as the contract says.
fn problem(answer: &Answer) -> Result<Map<String, Value>, &'static str> {
    const KEYS: [&str; 6] = ["type", "title", "status", "code", "detail", "message"];
    if answer.header("content-type") != "application/problem+json" {
        return Err("it is no problem+json");
    }
    let problem: Map<String, Value> =
        serde_json::from_str(&answer.text).map_err(|_| "the body is no JSON object")?;
    if !problem.keys().eq(KEYS) {
        return Err("the keys are not those");
    }
    if problem["status"] != answer.status.as_u16() {
        return Err("the status differs");
    }
    let texts = ["type", "title", "code", "detail"].map(|key| problem[key].as_str());
    if texts.iter().any(|text| text.is_none_or(str::is_empty)) {
        return Err("something is not said");
    }
    if problem["message"] != problem["detail"] {
        return Err("message is not detail");
    }
    Ok(problem)
}

// Bodies

#[tokio::test]
async fn what_is_not_json_is_refused_as_such() {
    let mut world = World::new().await;
    let unclosed = format!("{{\"x\":{}", "[".repeat(DEEP));
    let bodies: [&[u8]; 10] = [
        b"hello",
        b"{",
        b"}",
        b"{'url':1}",
        b"{\"x\":NaN}",
        b"{\"x\":01}",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        unclosed.as_bytes(),
    ];
    for at in 0..world.endpoints.len() {
        for body in bodies {
            world.refuses(at, body, MALFORMED).await;
        }
        for tail in ["{}", " x", ",", "\0"] {
            let body = world.endpoints[at].body.to_string() + tail;
            world.refuses(at, body, MALFORMED).await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn no_body_where_one_is_needed_is_refused() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        if !world.endpoints[at].takes_no_body() {
            world
                .refuses(
                    at,
                    "",
                    refusal(400, &["malformed_json", "invalid_request"], ""),
                )
                .await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn text_that_is_not_unicode_is_refused() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let mut bodies = Vec::new();
        for field in &endpoint.fields {
            if matches!(field.kind, Text | Id) {
                let marked = endpoint.with(field, json!("MARK"));
                bodies.push(marked.replace("MARK", "\\ud800").into_bytes());
                bodies.push(marked.replace("MARK", "\\udc00\\ud800").into_bytes());
                let (head, tail) = marked.split_once("MARK").unwrap();
                bodies.push([head.as_bytes(), b"\xff\xc0\x80", tail.as_bytes()].concat());
                bodies.push([head.as_bytes(), b"\xed\xa0\x80", tail.as_bytes()].concat());
            }
        }
        for body in bodies {
            world.refuses(at, body, MALFORMED).await;
        }
    }
    world.check().await;
}

/// RFC 8259: JSON is UTF-8, also where nobody looks.
#[tokio::test]
async fn bytes_that_are_not_utf8_are_refused_under_unknown_keys_too() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        let body = world.endpoints[at].body.to_string();
        let separator = if body == "{}" { "" } else { "," };
        let head = format!("{}{separator}\"unknown\":\"", &body[..body.len() - 1]);
        let body = [head.as_bytes(), b"\xff", b"\"}"].concat();
        world.refuses(at, body, MALFORMED).await;
    }
    world.check().await;
}

#[tokio::test]
async fn what_is_no_object_is_refused() {
    let mut world = World::new().await;
    let deep = "[".repeat(DEEP) + &"]".repeat(DEEP);
    let bodies = [
        "[]",
        "[{}]",
        r#"["a","b"]"#,
        r#""text""#,
        "null",
        "1",
        "true",
        &deep,
    ];
    for at in 0..world.endpoints.len() {
        for body in bodies {
            world.refuses(at, body, invalid("body")).await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let bodies: Vec<_> = endpoint
            .fields
            .iter()
            .flat_map(|field| {
                let bodies = field.wrong_values().into_iter();
                bodies.map(|value| (field.name, endpoint.with(field, value)))
            })
            .collect();
        for (name, body) in bodies {
            world.refuses(at, body, invalid(name)).await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn a_list_of_an_objects_fields_is_not_that_object() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let objects = endpoint.fields.iter();
        let objects = objects.filter(|field| matches!(field.kind, Object));
        let bodies: Vec<_> = objects
            .map(|field| (field.name, endpoint.with(field, json!(["x"]))))
            .collect();
        for (name, body) in bodies {
            world.refuses(at, body, invalid(name)).await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn a_field_that_is_missing_is_named() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let required = endpoint.fields.iter().filter(|field| field.required);
        // A header is required of nobody; it stands in the table for its type.
        let required = required.filter(|field| !field.name.starts_with("headers."));
        let bodies: Vec<_> = required
            .map(|field| (field.name, endpoint.without(field)))
            .collect();
        for (name, body) in bodies {
            world.refuses(at, body, invalid(name)).await;
        }
    }
    // The one endpoint that needs this or that.
    let authenticate = world.at("chatplugin.authenticate");
    world
        .refuses(authenticate, "{}", invalid("channel_id"))
        .await;
    world
        .refuses(authenticate, "{}", invalid("resume_token"))
        .await;
    world.check().await;
}

#[tokio::test]
async fn a_field_that_comes_twice_is_named() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let top = endpoint.body.as_object().unwrap();
        let bodies: Vec<_> = top
            .iter()
            .map(|(name, value)| {
                let body = endpoint.body.to_string();
                (name.clone(), format!("{{\"{name}\":{value},{}", &body[1..]))
            })
            .collect();
        for (name, body) in bodies {
            world.refuses(at, body, invalid(&name)).await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn deep_nesting_in_a_field_is_refused() {
    let mut world = World::new().await;
    let deep = [
        "[".repeat(DEEP) + &"]".repeat(DEEP),
        "{\"x\":".repeat(DEEP) + "1" + &"}".repeat(DEEP),
    ];
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let bodies: Vec<_> = endpoint
            .fields
            .iter()
            .flat_map(|field| {
                let marked = endpoint.with(field, json!("MARK"));
                let filled = deep
                    .iter()
                    .map(move |deep| marked.replace("\"MARK\"", deep));
                filled.collect::<Vec<_>>()
            })
            .collect();
        for body in bodies {
            let refused = refusal(400, &["malformed_json", "invalid_request"], "");
            world.refuses(at, body, refused).await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn unknown_keys_are_ignored_however_deep_or_often() {
    let mut world = World::new().await;
    let deep = "[".repeat(DEEP) + &"]".repeat(DEEP);
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let extra = format!("{{\"unknown\":{deep},\"unknown\":null,\"\":{{\"\":1e999}}");
        let body = endpoint.body.to_string();
        let body = match &body[1..] {
            "}" => extra + "}",
            rest => format!("{extra},{rest}"),
        };
        let answer = world
            .server
            .request(Method::POST, endpoint.verb, &endpoint.headers(), body)
            .await
            .unwrap();
        let expected = if endpoint.verb == "channels.disconnect" {
            404
        } else {
            200
        };
        if answer.status != expected {
            let verb = endpoint.verb;
            world.fault(verb, &answer.text);
        }
    }
    world.check().await;
}

// The request around the body

#[tokio::test]
async fn another_media_type_is_refused() {
    let world = World::new().await;
    let mut faults = Vec::new();
    let other = [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("json"),
        Some(""),
    ];
    for endpoint in &world.endpoints {
        for media_type in other {
            let mut headers = vec![("authorization", endpoint.token.as_str())];
            headers.extend(media_type.map(|media_type| ("content-type", media_type)));
            let body = endpoint.body.to_string();
            let answer = world
                .server
                .request(Method::POST, endpoint.verb, &headers, body);
            let expected = refusal(415, &["unsupported_media_type"], "application/json");
            let fault = expected.fault(&answer.await.unwrap());
            faults.extend(fault.map(|why| format!("{} {media_type:?}: {why}", endpoint.verb)));
        }
    }
    assert_eq!(faults, [""; 0]);
    world.check().await;
}

#[tokio::test]
async fn another_method_is_refused_and_the_right_one_named() {
    let world = World::new().await;
    let mut faults = Vec::new();
    let methods = [Method::GET, Method::PUT, Method::DELETE, Method::PATCH];
    let posts = world
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.verb, "POST"));
    for (path, allowed) in posts.chain([("health", "GET")]) {
        for method in methods.iter().chain([&Method::POST]) {
            if method.as_str() == allowed {
                continue;
            }
            let headers = [("authorization", TOKEN)];
            let answer = world.server.request(method.clone(), path, &headers, "");
            let answer = answer.await.unwrap();
            let fault = refusal(405, &["method_not_allowed"], "method").fault(&answer);
            faults.extend(fault.map(|why| format!("{method} {path}: {why}")));
            if !answer.header("allow").contains(allowed) {
                faults.push(format!(
                    "{method} {path}: Allow is {:?}",
                    answer.header("allow")
                ));
            }
        }
    }
    assert_eq!(faults, [""; 0]);
    world.check().await;
}

#[tokio::test]
async fn an_unknown_path_is_refused() {
    let server = Server::start().await;
    for path in [
        "",
        "webhooks",
        "webhooks.nothing",
        "webhooks.subscribe/",
        "Webhooks.Subscribe",
        "chat",
        "chat/",
        "%00",
        "%FF",
        "..%2f..%2fetc%2fpasswd",
    ] {
        for method in [Method::POST, Method::GET] {
            let headers = [("authorization", TOKEN)];
            let answer = server.request(method, path, &headers, "").await.unwrap();
            let fault = refusal(404, &["endpoint_not_found"], "POST").fault(&answer);
            assert_eq!(fault, None, "{path}");
        }
    }
}

#[tokio::test]
async fn a_request_that_is_no_websocket_is_refused_where_one_is_expected() {
    let server = Server::start().await;
    for method in [Method::GET, Method::POST] {
        let answer = server
            .request(method.clone(), "ws.chatplugin", &[], "")
            .await;
        let answer = answer.unwrap();
        assert!(answer.status.is_client_error());
        assert_eq!(problem(&answer).err(), None, "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_whether_its_length_is_said_or_not() {
    let mut world = World::new().await;
    let spaces = " ".repeat(2 << 20);
    let plain = format!("content-length: {}\r\n\r\n{spaces}", spaces.len());
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let chunked = format!(
        "transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(32)
    );
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let head = head(endpoint.verb, &endpoint.token);
        for rest in [&plain, &chunked] {
            let mut stream = TcpStream::connect(world.server.address).await.unwrap();
            // The server may stop reading before the end, and close.
            let _ = stream.write_all((head.clone() + rest).as_bytes()).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            if !(answer.starts_with("HTTP/1.1 413 ")
                && answer.contains("content-type: application/problem+json\r\n")
                && answer.contains("\"code\":\"body_too_large\"")
                && answer.contains("1048576"))
            {
                let verb = world.endpoints[at].verb;
                world.fault(verb, &answer);
            }
        }
    }
    world.check().await;
}

/// Most clients send all of a body before they read, and learn nothing from a connection that is reset.
#[tokio::test]
async fn a_client_can_send_all_of_a_body_that_is_too_long_and_then_read_why_it_is_refused() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = head("messages.send", TOKEN) + "content-length: 2097152\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let spaces = " ".repeat(65_536);
    for part in 1..=32 {
        // As slowly as a network is, so that the refusal comes before the end.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let sent = stream.write_all(spaces.as_bytes()).await;
        assert!(sent.is_ok(), "part {part} of 32: {sent:?}");
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

/// The head of a request without what says how long its body is.
fn head(verb: &str, token: &str) -> String {
    format!(
        "POST /{verb} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {token}\r\ncontent-type: application/json\r\n"
    )
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let server =
        Server::start_with(|command| command.env("TRADEWIND_SERVER__REQUEST_SECONDS", "1")).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = head("messages.send", TOKEN) + "content-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer));
    read.await
        .expect("the connection should be closed")
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
}

// What fields say

#[tokio::test]
async fn a_text_with_nul_or_of_great_length_comes_back_as_it_went() {
    let server = Server::start().await;
    let (visitor, conversation) = server.converse("hello").await;
    for text in [
        "\0",
        "a\0b",
        "\u{feff}\u{202e}\u{fffd}\u{10ffff}",
        "'; DROP TABLE message; --",
        &"ü".repeat(32_768),
    ] {
        visitor.write(&server, text).await;
        let send = json!({"conversation_id": conversation, "message": {"text": text}});
        server.call("messages.send", send).await.ok();
        let list = json!({"conversation_id": conversation, "page_size": 100});
        let list = server.call("messages.list", list).await.ok();
        let messages = list["data"].as_array().unwrap();
        for message in &messages[messages.len() - 2..] {
            assert!(message["content"]["text"] == text, "{text:.20}");
        }
    }
}

#[tokio::test]
async fn a_text_that_is_too_long_is_refused() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let text = endpoint.fields.iter();
        let text = text.clone().find(|field| field.name == "message.text");
        let Some(field) = text else { continue };
        let body = endpoint.with(field, json!("x".repeat(65_537)));
        world.refuses(at, body, invalid("message.text")).await;
    }
    world.check().await;
}

#[tokio::test]
async fn an_empty_text_is_refused() {
    let mut world = World::new().await;
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let text = endpoint
            .fields
            .iter()
            .find(|field| field.name == "message.text");
        let Some(field) = text else { continue };
        let bodies = ["", " ", "\n\t\r\n", "\u{2003}\u{3000}"];
        let bodies = bodies.map(|text| endpoint.with(field, json!(text)));
        for body in bodies {
            world.refuses(at, body, invalid("message.text")).await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn a_channel_with_nul_or_at_great_length_is_refused() {
    let mut world = World::new().await;
    let at = world.at("channels.connect");
    let connect = &world.endpoints[at];
    let long = "x".repeat(4_097);
    let mut bodies: Vec<_> = connect
        .fields
        .iter()
        .flat_map(|field| {
            ["a\0b", &long].map(|text| (field.name, connect.with(field, json!(text))))
        })
        .collect();
    for source in [
        "",
        "nonsense",
        "Chat_Plugin",
        "CHAT_PLUGIN",
        " chat_plugin",
        "ü",
    ] {
        bodies.push(("source", connect.with(&connect.fields[0], json!(source))));
    }
    for id in ["", " ", "\t\n"] {
        let body = connect.with(&connect.fields[1], json!(id));
        bodies.push(("source_channel_id", body));
    }
    for (name, body) in bodies {
        world.refuses(at, body, invalid(name)).await;
    }
    let known = world.endpoints[at].with(&world.endpoints[at].fields[0], json!("nonsense"));
    world.refuses(at, known, invalid("chat_plugin")).await;
    world.check().await;
}

#[tokio::test]
async fn any_page_size_gives_a_page() {
    let world = World::new().await;
    for verb in ["conversations.list", "messages.list"] {
        for size in [
            json!(0),
            json!(-1),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(null),
        ] {
            let mut body = world.endpoint(verb).body.clone();
            body["page_size"] = size;
            let page = world.server.call(verb, body).await.ok();
            assert_eq!(page["response_metadata"]["total"], 1);
            assert_eq!(page["data"].as_array().unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_cursor_that_was_never_given_is_refused() {
    let mut world = World::new().await;
    // The last two are cursors of the other list, or look like one.
    let garbage = [
        "nonsense",
        "%%%",
        "ü",
        "\0",
        "AAAA",
        "00000000-0000-7000-8000-000000000000",
        "Yi0x",
        "bTk5OTk5OTk5OTk5OTk5OTk5OTk5",
    ];
    let long = "A".repeat(100_000);
    for at in 0..world.endpoints.len() {
        let endpoint = &world.endpoints[at];
        let cursor = endpoint.fields.iter().find(|field| field.name == "cursor");
        let Some(field) = cursor else { continue };
        let bodies: Vec<_> = garbage
            .iter()
            .chain([&&*long])
            .map(|cursor| endpoint.with(field, json!(cursor)))
            .collect();
        for body in bodies {
            world.refuses(at, body, invalid("cursor")).await;
        }
    }
    world.check().await;
}

#[tokio::test]
async fn a_cursor_beyond_the_ends_gives_a_page() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let world = World::new().await;
    for (verb, letters) in [
        ("conversations.list", ["a", "w0.", "w9."]),
        ("messages.list", ["m", "p", "p"]),
        ("messages.search", ["s", "s", "s"]),
    ] {
        for letter in letters {
            for place in [0, 1, u64::MAX, u64::MAX / 2, u64::MAX / 2 + 1] {
                let mut body = world.endpoint(verb).body.clone();
                body["cursor"] = json!(URL_SAFE_NO_PAD.encode(format!("{letter}{place}")));
                let answer = world.server.call(verb, body).await;
                assert_eq!(answer.status, 200, "{letter}{place}: {}", answer.text);
            }
        }
    }
    world.check().await;
}

#[tokio::test]
async fn an_idempotency_key_that_is_none_is_refused() {
    let world = World::new().await;
    let long = "k".repeat(256);
    for verb in ["messages.send", "chatplugin.send"] {
        let endpoint = world.endpoint(verb);
        for key in ["", &long, "ü"] {
            let mut headers = endpoint.headers().to_vec();
            headers.push(("idempotency-key", key));
            let body = endpoint.body.to_string();
            let answer = world
                .server
                .request(Method::POST, verb, &headers, body)
                .await;
            let fault = invalid("Idempotency-Key").fault(&answer.unwrap());
            assert_eq!(fault, None, "{verb} {key:.10}");
        }
    }
    world.check().await;
}

// Webhooks

fn webhook(headers: &Value) -> Value {
    json!({"url": "http://127.0.0.1:9/", "headers": headers})
}

#[tokio::test]
async fn headers_that_would_change_the_request_are_refused() {
    let mut world = World::new().await;
    for name in [
        "Host",
        "hOST",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Keep-Alive",
        "Upgrade",
        "TE",
        "Trailer",
        "Expect",
        "webhook-id",
        "Webhook-Timestamp",
        "WEBHOOK-SIGNATURE",
        "webhook-anything",
        "X-Airy-Content-Signature",
        "x-airy-content-signature",
        "",
        " ",
        "X Space",
        "X-Colon:",
        "X-Line\r\nHost: evil",
        "X-Nul\0",
        "X-Ünicode",
        ":authority",
    ] {
        let headers = Value::Object(Map::from_iter([(name.to_owned(), json!("1"))]));
        world.refuses_webhook(webhook(&headers), "headers").await;
    }
    for value in [
        "a\r\nHost: evil",
        "a\nb",
        "a\rb",
        "a\0b",
        "\n",
        "ü",
        "\u{7f}",
        "\u{1b}[31m",
    ] {
        world
            .refuses_webhook(webhook(&json!({ "X-Key": value })), "X-Key")
            .await;
    }
    world.check().await;
}

#[tokio::test]
async fn a_header_that_comes_twice_in_the_same_spelling_is_refused() {
    let mut world = World::new().await;
    let twice = r#"{"url":"http://127.0.0.1:9/","headers":{"X-Key":"1","X-Key":"2"}}"#;
    let at = world.at("webhooks.subscribe");
    world.refuses(at, twice, invalid("headers")).await;
    world.check().await;
}

#[tokio::test]
async fn a_header_that_comes_twice_or_with_a_thousand_others_is_refused() {
    let mut world = World::new().await;
    let twice = webhook(&json!({"X-Key": "1", "x-key": "2"}));
    world.refuses_webhook(twice, "headers").await;
    let many = (0..1_000).map(|number| (format!("X-{number}"), json!("1")));
    let many = webhook(&Value::Object(many.collect()));
    world.refuses_webhook(many, "headers").await;
    let long = webhook(&json!({ "X-Key": "x".repeat(500_000) }));
    world.refuses_webhook(long, "headers").await;
    world.check().await;
}

#[tokio::test]
async fn a_refused_header_does_not_come_back_with_its_value() {
    let server = Server::start().await;
    let headers = json!({"Authorization": "s3cret\u{7f}"});
    let answer = server.call("webhooks.subscribe", webhook(&headers)).await;
    assert_eq!(answer.status, 400);
    assert!(!answer.text.contains("s3cret"), "{}", answer.text);
}

#[tokio::test]
async fn a_url_that_is_none_or_leads_inside_is_refused() {
    let mut world = World::on(Server::start_with(|command| command).await).await;
    for url in [
        "",
        " ",
        "nonsense",
        "example.com/hook",
        "//example.com/hook",
        "/hook",
        "http://",
        "http:///",
        "https://?x",
        "http://:80/",
        "http://exa mple.com/",
        "http://example.com:99999/",
        "http://[::1",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "javascript:alert(1)",
        "data:text/plain,x",
        "unix:/run/docker.sock",
        "http+unix://%2frun%2fdocker.sock/",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://:password@example.com/",
        "https://example.com@127.0.0.1/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://127.0.0.1./",
        "http://①②⑦.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http:\\\\127.0.0.1\\",
        "http:127.0.0.1",
        "\thttp://127.0.0.1/",
        "http://127.0.\t0.1/",
        "http://localhost/",
        "http://LOCALHOST/",
        "http://0/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://172.16.0.1/",
        "http://192.168.0.1/",
        "http://255.255.255.255/",
        "http://[::]/",
        "http://[::1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::127.0.0.1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::ffff:0:10.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::7f00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:7f00:1::]/",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[ff02::1]/",
    ] {
        world.refuses_webhook(json!({ "url": url }), "url").await;
    }
    let long = format!("https://example.com/{}", "x".repeat(5_000));
    world.refuses_webhook(json!({ "url": long }), "url").await;
    world.check().await;
}
