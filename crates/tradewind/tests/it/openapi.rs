//! The document about the API: it is complete, and what it says is so.

use std::{collections::HashMap, path::Path, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    support::{
        receiver::{Receiver, Reply},
        server::{Answer, Server, TOKEN},
        visitor::Visitor,
    },
    tidy::error_codes,
};

/// An endpoint as the document describes it.
struct Operation {
    name: String,
    method: Method,
    text: Value,
}

impl Operation {
    fn security(&self) -> &Value {
        &self.text["security"]
    }

    /// The example of a request body; there is one where there is a body.
    fn request(&self) -> Option<&Value> {
        let body = self.text.get("requestBody")?;
        Some(&body["content"]["application/json"]["example"])
    }

    /// The first status that means success, and what is said of it.
    fn success(&self) -> (u16, &Value) {
        let responses = self.text["responses"].as_object().unwrap().iter();
        let parsed = responses.map(|(status, text)| (status.parse().unwrap(), text));
        let success = parsed.filter(|(status, _)| (200..300).contains(status));
        success.min_by_key(|(status, _)| *status).unwrap()
    }

    fn example(&self) -> &Value {
        &self.success().1["content"]["application/json"]["example"]
    }

    async fn call(&self, server: &Server, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut headers = Vec::new();
        headers.extend(token.map(|token| ("authorization", token)));
        headers.extend(body.map(|_| ("content-type", "application/json")));
        let body = body.map(Value::to_string).unwrap_or_default();
        let method = self.method.clone();
        let answer = server.request(method, &self.name, &headers, body).await;
        let answer = answer.unwrap();
        let described = self.text["responses"].get(answer.status.as_str());
        assert!(described.is_some(), "{}: {answer:?}", self.name);
        answer
    }
}

async fn document(server: &Server) -> Value {
    server.get("openapi.json").await.ok()
}

fn operations(document: &Value) -> Vec<Operation> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let item = item.as_object().unwrap().iter();
        item.map(|(method, text)| Operation {
            name: path.trim_start_matches('/').to_owned(),
            method: method.to_uppercase().parse().unwrap(),
            text: text.clone(),
        })
    });
    operations.collect()
}

/// What a value has to be like, checked with the schemas of the document at hand.
fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let options = jsonschema::options().should_validate_formats(true);
    let validator = options.build(&whole).unwrap();
    validator
        .validate(value)
        .map_err(|error| format!("{error} at {}", error.instance_path()))
}

/// Follows a reference, if it is one.
fn resolved<'a>(document: &'a Value, text: &'a Value) -> &'a Value {
    match text["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => text,
    }
}

// The document by itself

#[tokio::test]
async fn the_document_is_open_and_says_what_it_is() {
    let server = Server::start().await;
    let answer = server.get("openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let document = answer.ok();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn every_endpoint_says_all_there_is_to_know() {
    let server = Server::start().await;
    let document = document(&server).await;
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().collect();
    for operation in operations(&document) {
        let name = &operation.name;
        let summary = operation.text["summary"].as_str().unwrap();
        assert!(summary.ends_with('.'), "{name} has no summary: {summary}");
        for (scheme, scopes) in operation.security()[0].as_object().into_iter().flatten() {
            let known = document["components"]["securitySchemes"].get(scheme);
            assert!(known.is_some(), "{name}: {scheme}");
            assert_eq!(*scopes == json!([]), scheme != "token", "{name}");
        }
        let tag = &operation.text["tags"][0];
        assert!(
            tags.iter().any(|known| known["name"] == *tag),
            "{name}: {tag}"
        );
        if let Some(request) = operation.request() {
            let schema = &operation.text["requestBody"]["content"]["application/json"]["schema"];
            check(&document, schema, request).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        for (status, response) in operation.text["responses"].as_object().unwrap() {
            let response = resolved(&document, response);
            let (media_type, content) = response["content"]
                .as_object()
                .unwrap()
                .iter()
                .next()
                .unwrap();
            let is_success = status.starts_with('2');
            let expected = if is_success {
                "application/json"
            } else {
                "application/problem+json"
            };
            assert_eq!(media_type, expected, "{name} {status}");
            let single = content.get("example").into_iter();
            let many = content["examples"].as_object().into_iter().flatten();
            let examples: Vec<_> = single
                .chain(many.map(|(_, example)| &example["value"]))
                .collect();
            assert!(!examples.is_empty(), "{name} {status} has no example");
            for example in examples {
                let valid = check(&document, &content["schema"], example);
                valid.unwrap_or_else(|why| panic!("{name} {status}: {why}"));
            }
        }
    }
}

/// Two types of one name would be one schema in the document, and one of them described wrongly. Those that
/// are only described in place have no name there.
#[tokio::test]
async fn no_two_types_have_the_same_name_in_the_document() {
    let server = Server::start().await;
    let document = document(&server).await;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut seen = HashMap::new();
    for (path, text) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")) {
        for after in text.split("ToSchema)]").skip(1) {
            let declared = after.split_once("struct ").unwrap().1;
            let end = declared.find(|char: char| !char.is_alphanumeric()).unwrap();
            let name = declared[..end].to_owned();
            if let Some(before) = seen.insert(name.clone(), path.clone()) {
                assert!(
                    !schemas.contains_key(&name),
                    "{name} in {before} and {path}"
                );
            }
        }
    }
    assert!(seen.len() > 20, "only {seen:?} were found");
}

/// Every Rust file in a directory, with its text.
fn files(directory: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(directory).unwrap();
    let found = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return files(&path);
        }
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        let text = is_rust.then(|| std::fs::read_to_string(&path).unwrap());
        text.map(|text| (path.display().to_string(), text))
            .into_iter()
            .collect()
    });
    found.collect()
}

#[tokio::test]
async fn every_error_is_one_of_some_endpoint() {
    let server = Server::start().await;
    let document = server.get("openapi.json").await.text;
    for code in error_codes() {
        // Of what is no endpoint of the document.
        let elsewhere = [
            "endpoint_not_found",
            "websocket_expected",
            "signature_invalid",
            "file_not_found",
            "file_too_large",
        ];
        let is_elsewhere = elsewhere.contains(&code.as_str());
        let is_there = document.contains(&format!("\"/problems/{code}\""));
        assert_eq!(is_there, !is_elsewhere, "{code}");
    }
}

/// What a browser would fetch for it, it fetches here and nowhere else.
#[tokio::test]
async fn the_page_about_the_document_is_whole() {
    let server = Server::start().await;
    let page = server.get("docs").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none';")
    );
    for file in ["docs-assets/docs.css", "docs-assets/docs.js"] {
        assert!(page.text.contains(&format!("\"/{file}\"")), "{}", page.text);
        let file = server.get(file).await;
        assert_eq!(file.status, 200);
        for elsewhere in ["http://", "https://", "@import", "innerHTML"] {
            assert!(
                !file.text.contains(elsewhere),
                "{elsewhere} in {}",
                file.text
            );
        }
    }
}

// The document and the server

#[tokio::test]
async fn who_has_no_token_is_refused_where_the_document_says_so() {
    let server = Server::start().await;
    for operation in operations(&document(&server).await) {
        let answer = operation.call(&server, None, operation.request()).await;
        let is_open = *operation.security() == json!([]);
        let is_refused = answer.status == 401 && answer.json()["code"] == "unauthorized";
        assert_eq!(is_refused, !is_open, "{}: {answer:?}", operation.name);
        if !is_open {
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

#[tokio::test]
async fn who_has_too_small_a_token_is_refused_where_the_document_says_so() {
    let server = Server::start().await;
    let scopes = ["read", "agent", "admin"];
    let mut tokens = Vec::new();
    for scope in scopes {
        let token = json!({"name": scope, "scope": scope});
        let made = server.call("tokens.create", token).await.json();
        tokens.push(made["token"].as_str().unwrap().to_owned());
    }
    for operation in operations(&document(&server).await) {
        let Some(needed) = operation.security()[0]["token"][0].as_str() else {
            continue;
        };
        let needed = scopes.iter().position(|scope| *scope == needed).unwrap();
        for (has, (scope, token)) in scopes.iter().zip(&tokens).enumerate() {
            // Not a body that it takes: nothing must change what the next call finds.
            let answer = operation.call(&server, Some(token), Some(&json!([]))).await;
            let name = &operation.name;
            assert_eq!(
                answer.status == 403,
                has < needed,
                "{name} {scope}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_can_be_left_out_where_the_document_says_so() {
    let server = Server::start().await;
    for operation in operations(&document(&server).await) {
        let Some(body) = operation.text.get("requestBody") else {
            continue;
        };
        let is_for_us = operation.security()[0].get("token").is_some();
        if !is_for_us && *operation.security() != json!([]) {
            continue;
        }
        let answer = operation.call(&server, Some(TOKEN), None).await;
        let is_needed = answer.status == 415;
        assert_eq!(
            body["required"], is_needed,
            "{}: {answer:?}",
            operation.name
        );
    }
}

// The examples

/// The calls that begin the story, and those that end it. The others come between, in any order.
const BEGINNING: &[&str] = &[
    "channels.connect",
    "webhooks.subscribe",
    "chatplugin.authenticate",
    "chatplugin.send",
    "conversations.list",
    "users.signup",
    "users.login",
    "users.invite",
    "sources.create",
    "sources.channels.create",
    "sources.webhook",
];
const END: &[&str] = &[
    "tags.delete",
    "users.remove",
    "webhooks.unsubscribe",
    "webhooks.rotate-secret",
    "channels.disconnect",
    "sources.channels.disconnect",
    "sources.delete",
];

/// What ids, tokens and URLs of the examples are in truth.
struct Story {
    truth: HashMap<String, String>,
    /// Of visitors and users.
    tokens: HashMap<&'static str, String>,
}

impl Story {
    /// The value as it has to be sent.
    fn told(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.truth.get(text).unwrap_or(text).as_str().into(),
            Value::Array(items) => items.iter().map(|item| self.told(item)).collect(),
            Value::Object(object) => {
                let told = object
                    .iter()
                    .map(|(key, value)| (key.clone(), self.told(value)));
                Value::Object(told.collect())
            }
            other => other.clone(),
        }
    }

    /// Learns what the names in an example stand for, from the answer that came.
    fn learn(&mut self, key: &str, example: &Value, real: &Value) {
        match (example, real) {
            (Value::Object(example), Value::Object(real)) => {
                for (key, value) in example {
                    self.learn(key, value, &real[key]);
                }
            }
            (Value::Array(example), Value::Array(real)) => {
                for (example, real) in example.iter().zip(real) {
                    self.learn(key, example, real);
                }
            }
            (Value::String(example), Value::String(real))
                if key == "id" || key.ends_with("_id") || key.ends_with("token") =>
            {
                self.truth.insert(example.clone(), real.clone());
            }
            _ => {}
        }
    }

    /// The token that an endpoint needs.
    fn token(&self, operation: &Operation) -> Option<&str> {
        let needed = operation.security()[0].as_object()?;
        let scheme = needed.keys().next().unwrap().as_str();
        let own = self.tokens.get(scheme).map(String::as_str);
        Some(own.unwrap_or(TOKEN))
    }
}

/// How two values differ in shape. A `null` in one of them says nothing; whether it may be there is for
/// the schema to say.
fn difference(at: &str, example: &Value, real: &Value) -> Option<String> {
    match (example, real) {
        (Value::Object(example), Value::Object(real)) => {
            let keys = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<Vec<_>>()
            };
            if keys(example) != keys(real) {
                return Some(format!(
                    "{at} has {:?}, not {:?}",
                    keys(real),
                    keys(example)
                ));
            }
            let mut values = example.iter().zip(real.values());
            values.find_map(|((key, example), real)| {
                difference(&format!("{at}.{key}"), example, real)
            })
        }
        (Value::Array(example), Value::Array(real)) => {
            let first = example.first()?;
            if real.is_empty() {
                return Some(format!("{at} is empty"));
            }
            real.iter()
                .find_map(|real| difference(&format!("{at}[]"), first, real))
        }
        (Value::Null, _) | (_, Value::Null) => None,
        (example, real) => {
            let differ = std::mem::discriminant(example) != std::mem::discriminant(real);
            differ.then(|| format!("{at} is {real}, not such as {example}"))
        }
    }
}

/// A visitor whose message the webhook refuses, until it is set aside.
async fn be_refused(server: &Server, channel: &str) {
    let visitor = Visitor::arrive(server, channel).await;
    visitor.write(server, "refuse this").await;
}

async fn wait_for_set_aside(server: &Server) {
    for _ in 0..500 {
        let failed = server.call("webhooks.failed", json!({})).await.ok();
        if failed["data"] != json!([]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nothing was set aside");
}

#[tokio::test]
async fn every_example_is_what_the_server_answers() {
    let receiver = Receiver::scripted(|delivery, _| {
        let refused = delivery.json()["text"] == "refuse this";
        Reply::status(if refused { 500 } else { 200 })
    })
    .await;
    let server = Server::start_with(|command| {
        let command = command.args(["--webhook-allow", "127.0.0.0/8"]);
        command.env("TRADEWIND_DELIVERY__SET_ASIDE_SECONDS", "1")
    })
    .await;
    let document = document(&server).await;
    let mut operations = operations(&document);
    operations.sort_by_key(|operation| {
        let is_it = |name: &&str| *name == operation.name;
        let first = BEGINNING.iter().position(is_it).unwrap_or(BEGINNING.len());
        (first, END.iter().position(is_it).map_or(0, |last| last + 1))
    });
    let hook = ("https://example.com/hook".to_owned(), receiver.url());
    let actions = ("https://example.com/actions".to_owned(), receiver.url());
    let mut story = Story {
        truth: HashMap::from([hook, actions]),
        tokens: HashMap::new(),
    };
    for operation in operations {
        let name = operation.name.as_str();
        let request = operation.request().map(|request| story.told(request));
        let token = story.token(&operation);
        let answer = operation.call(&server, token, request.as_ref()).await;
        let (status, said) = operation.success();
        assert_eq!(answer.status, status, "{name} {request:?}: {}", answer.text);
        let (example, real) = (operation.example(), answer.json());
        let schema = &said["content"]["application/json"]["schema"];
        check(&document, schema, &real).unwrap_or_else(|why| panic!("{name}: {why}: {real}"));
        if let Some(difference) = difference(name, example, &real) {
            panic!("{difference}: {real}");
        }
        story.learn("", example, &real);
        let token = real["token"].as_str().map(str::to_owned);
        match name {
            "chatplugin.authenticate" => story.tokens.extend(token.map(|token| ("visitor", token))),
            "sources.create" => story.tokens.extend(token.map(|token| ("source", token))),
            "users.login" => story.tokens.extend(token.map(|token| ("login", token))),
            "webhooks.subscribe" => be_refused(&server, &server.connect_channel().await).await,
            "chatplugin.send" => wait_for_set_aside(&server).await,
            _ => {}
        }
    }
}
