//! What a subscription says, as it is asked for and as it is shown.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};
use tradewind_delivery::{guard::LookupError, webhook};
use tradewind_model::{EventType, SenderType, Webhook, WebhookId, WebhookStatus, WireTime};
use utoipa::{
    ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder},
};
use uuid::Uuid;

use crate::{
    api::{
        error::ApiError,
        openapi::{one_of, some_of},
    },
    app::App,
};

/// Longest name, in bytes.
const WEBHOOK_NAME_BYTES_MAX: usize = 255;

/// Every call says all of it: what is left out is none, or the default.
#[derive(Deserialize, ToSchema)]
pub(super) struct SubscribeRequest {
    /// Where events are sent: `http` or `https`, without user name or password, and not leading to an
    /// address inside. At most 2,048 bytes.
    url: String,
    /// Sent with every event: at most 50, and not those that HTTP or the signature need.
    #[schema(value_type = Option<HashMap<String, String>>)]
    headers: Option<HeaderList>,
    /// One of your choice, to have many webhooks; the default webhook if left out.
    #[schema(value_type = Option<Uuid>)]
    id: Option<WebhookId>,
    /// What you call it; at most 255 bytes.
    name: Option<String>,
    /// Typed events instead of the flat one: at least one type.
    #[schema(schema_with = event_types)]
    events: Option<Vec<String>>,
    /// Only messages of these; of all if left out.
    #[schema(schema_with = sender_types)]
    senders: Option<Vec<String>>,
    /// `true`: nothing is sent, and what happens waits until it is subscribed without it.
    paused: Option<bool>,
}

/// An object of texts, in its order and with what it repeats.
struct HeaderList(Vec<(String, String)>);

impl<'de> Deserialize<'de> for HeaderList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose values are strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_map(Pairs).map(Self)
    }
}

impl SubscribeRequest {
    pub(super) async fn into_webhook(self, app: &App, secret: Uuid) -> Result<Webhook, ApiError> {
        let headers = self.headers.map(|HeaderList(headers)| headers);
        let headers = headers.unwrap_or_default();
        webhook::parse_headers(&headers)
            .map_err(|error| ApiError::invalid("headers", error.to_string()))?;
        let name = self.name.filter(|name| !name.trim().is_empty());
        if name
            .as_ref()
            .is_some_and(|name| name.len() > WEBHOOK_NAME_BYTES_MAX || name.contains('\0'))
        {
            let why = format!("must be at most {WEBHOOK_NAME_BYTES_MAX} bytes, without NUL");
            return Err(ApiError::invalid("name", why));
        }
        let events = choose("events", self.events, &EventType::ALL, EventType::name)?;
        let senders = choose("senders", self.senders, &SenderType::ALL, SenderType::name)?;
        check_url(app, "url", &self.url).await?;
        Ok(Webhook {
            id: self.id.unwrap_or(Webhook::DEFAULT_ID),
            url: self.url,
            headers,
            status: WebhookStatus::Subscribed,
            api_secret: secret,
            old_secret: None,
            name,
            events,
            senders,
            paused: self.paused.unwrap_or(false),
            ended_because: None,
        })
    }
}

/// The values that were chosen by name, each once. Absent is no choice.
fn choose<T: Copy + PartialEq>(
    field: &str,
    chosen: Option<Vec<String>>,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<Vec<T>, ApiError> {
    let Some(chosen) = chosen else {
        return Ok(Vec::new());
    };
    let known = || {
        all.iter()
            .map(|value| name(*value))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if chosen.is_empty() {
        let why = format!("must name at least one of {}, or be left out", known());
        return Err(ApiError::invalid(field, why));
    }
    let mut values = Vec::new();
    for (at, text) in chosen.iter().enumerate() {
        let found = all.iter().copied().find(|value| name(*value) == text);
        let Some(value) = found else {
            let why = format!("must be one of {}", known());
            return Err(ApiError::invalid(format!("{field}[{at}]"), why));
        };
        if !values.contains(&value) {
            values.push(value);
        }
    }
    Ok(values)
}

/// Refuses what could never be delivered to. A name that does not resolve now may do so later; one
/// that points inside is refused here already, so that who typed it learns of it.
pub(in crate::api) async fn check_url(app: &App, field: &str, url: &str) -> Result<(), ApiError> {
    let refuse = |why: String| ApiError::invalid(field, why);
    let url = app
        .guard
        .parse_url(url)
        .map_err(|error| refuse(error.to_string()))?;
    if let Err(LookupError::Forbidden(forbidden)) = app.guard.addresses(&url).await {
        return Err(refuse(forbidden.to_string()));
    }
    Ok(())
}

/// A webhook. What there is nothing to say of is left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes a `View`")]
pub(super) struct WebhookView {
    /// Left out where it is the default webhook, but for lists.
    id: Option<Uuid>,
    url: String,
    headers: HashMap<String, String>,
    #[schema(schema_with = statuses)]
    status: String,
    /// The key of the signatures, which only those are told who subscribe.
    api_secret: Option<Uuid>,
    name: Option<String>,
    #[schema(schema_with = event_types)]
    events: Option<Vec<String>>,
    #[schema(schema_with = sender_types)]
    senders: Option<Vec<String>>,
    /// Left out where it is `false`.
    paused: Option<bool>,
    /// Why it is unsubscribed, if not by a call.
    reason: Option<String>,
    /// Until when the secret before signs too.
    #[schema(format = DateTime)]
    old_secret_until: Option<String>,
}

pub(super) fn statuses() -> ObjectBuilder {
    use WebhookStatus::{Subscribed, Unsubscribed};
    one_of([Subscribed, Unsubscribed].map(WebhookStatus::name))
}

fn event_types() -> ArrayBuilder {
    some_of(EventType::ALL.map(EventType::name))
}

fn sender_types() -> ArrayBuilder {
    some_of(SenderType::ALL.map(SenderType::name))
}

/// A webhook as it is shown. Its keys come in the order in which they were put there.
pub(super) type View = Map<String, Value>;

/// As who subscribes it sees it, the only one who is told the secret.
pub(super) fn with_secret(app: &App, webhook: &Webhook) -> View {
    let mut view = View::new();
    view.insert("url".to_owned(), webhook.url.as_str().into());
    view.insert("headers".to_owned(), headers(webhook));
    view.insert("status".to_owned(), webhook.status.name().into());
    view.insert(
        "api_secret".to_owned(),
        webhook.api_secret.to_string().into(),
    );
    add_more(&mut view, app, webhook);
    view
}

/// The same without the secret.
pub(super) fn without_secret(app: &App, webhook: &Webhook) -> View {
    let mut view = View::new();
    view.insert("status".to_owned(), webhook.status.name().into());
    view.insert("url".to_owned(), webhook.url.as_str().into());
    view.insert("headers".to_owned(), headers(webhook));
    add_more(&mut view, app, webhook);
    view
}

/// As one of a list: always with its id.
pub(super) fn listed(app: &App, webhook: &Webhook) -> View {
    let mut view = View::new();
    view.insert("id".to_owned(), webhook.id.to_string().into());
    view.extend(without_secret(app, webhook));
    view
}

fn headers(webhook: &Webhook) -> Value {
    let headers = webhook.headers.iter();
    Value::Object(
        headers
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect(),
    )
}

/// What is only shown where there is something to say, so that who uses none of it is answered as
/// plainly as they asked.
fn add_more(view: &mut View, app: &App, webhook: &Webhook) {
    let mut add = |key: &str, value: Option<Value>| {
        view.extend(value.map(|value| (key.to_owned(), value)));
    };
    let names = |names: Vec<&str>| (!names.is_empty()).then(|| Value::from(names));
    let id = Some(webhook.id).filter(|id| *id != Webhook::DEFAULT_ID);
    add("id", id.map(|id| id.to_string().into()));
    add("name", webhook.name.as_deref().map(Value::from));
    let events = webhook.events.iter().map(|kind| kind.name());
    add("events", names(events.collect()));
    let senders = webhook.senders.iter().map(|kind| kind.name());
    add("senders", names(senders.collect()));
    add("paused", webhook.paused.then(|| true.into()));
    add("reason", webhook.ended_because.as_deref().map(Value::from));
    let old = webhook.old_secret.as_ref();
    let old = old.filter(|old| app.clock.now() < old.until);
    add(
        "old_secret_until",
        old.map(|old| WireTime(old.until).to_string().into()),
    );
}
