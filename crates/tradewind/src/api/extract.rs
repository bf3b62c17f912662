//! Reading requests: a body becomes a type here, or an [`ApiError`] that names what is wrong with it.

use std::{fmt, marker::PhantomData, ops::RangeInclusive};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use futures_util::StreamExt as _;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{api::error::ApiError, app::App};

/// Bytes beyond the limit that are read and thrown away, so that a client gets to read why its body is
/// refused: one that is still sending would only see its connection break.
const EXCESS_BYTES_MAX: usize = 16 << 20;

/// Fields of which an error does not repeat what was sent.
const SECRETS: [&str; 2] = ["password", "token"];

/// A JSON object.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON object, or no body at all where every field is optional.
#[derive(Debug)]
pub(crate) struct JsonOrNothing<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        Self::read(request, app.body_bytes_max).await
    }
}

impl<T: DeserializeOwned> Json<T> {
    /// The body of `request`, which may be `bytes_max` long.
    pub(crate) async fn read(request: Request, bytes_max: usize) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = read(body, bytes_max).await?;
        parse(&parts.headers, &body).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<App> for JsonOrNothing<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = read(body, app.body_bytes_max).await?;
        if body.is_empty() {
            return from_text("{}").map(Self);
        }
        parse(&parts.headers, &body).map(Self)
    }
}

/// Deserializes an object inside a body. Otherwise a type that is an object in JSON would also take a
/// list of its fields.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ObjectOf<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOf<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(ObjectOf(PhantomData))
}

/// Checks a text in one line that a person gave: how long it is, and that it has no control characters.
pub(crate) fn check_line(
    field: &str,
    text: &str,
    bytes: RangeInclusive<usize>,
) -> Result<(), ApiError> {
    if bytes.contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(());
    }
    let (min, max) = bytes.into_inner();
    let length = match min {
        0 => format!("at most {max}"),
        min => format!("{min} to {max}"),
    };
    let why = format!("must be {length} bytes, without control characters");
    Err(ApiError::invalid(field, why))
}

/// The whole body, which may be `bytes_max` long.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Vec<u8>, ApiError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut excess = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| ApiError::Malformed(error.to_string()))?;
        if excess == 0 && bytes.len() + chunk.len() <= bytes_max {
            bytes.extend_from_slice(&chunk);
            continue;
        }
        excess += chunk.len();
        if excess > EXCESS_BYTES_MAX {
            break;
        }
    }
    if excess > 0 {
        return Err(ApiError::TooLarge { max: bytes_max });
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, ApiError> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if !media_type.is_some_and(is_json) {
        return Err(ApiError::MediaType);
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| ApiError::Malformed(format!("not UTF-8 text: {error}")))?;
    from_text(text)
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn from_text<T: DeserializeOwned>(body: &str) -> Result<T, ApiError> {
    if !body.trim_ascii_start().starts_with('{') {
        return match serde_json::from_str::<serde::de::IgnoredAny>(body) {
            Ok(_) => Err(ApiError::invalid("body", "must be a JSON object")),
            Err(error) => Err(ApiError::Malformed(error.to_string())),
        };
    }
    serde_json::from_str(body).map_err(|error| explain::<T>(body, &error))
}

/// Reads the body again, this time with an eye on where it is wrong.
fn explain<T: DeserializeOwned>(body: &str, error: &serde_json::Error) -> ApiError {
    let mut deserializer = serde_json::Deserializer::from_str(body);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Err(error) => {
            let path = error.path().to_string();
            describe(&path, &error.into_inner())
        }
        // It is what comes after the object.
        Ok(_) => ApiError::Malformed(error.to_string()),
    }
}

/// Reads an object that is the value of `field`.
pub(crate) fn inside<T: DeserializeOwned>(
    field: &str,
    value: serde_json::Value,
) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = match error.path().to_string() {
            path if path == "." => field.to_owned(),
            path => format!("{field}.{path}"),
        };
        describe(&path, &error.into_inner())
    })
}

/// Says which field is wrong and what it must be.
fn describe(path: &str, error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return ApiError::Malformed(error.to_string());
    }
    let text = error.to_string();
    let why = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(why, _)| why);
    let parent = if path == "." { "" } else { path };
    if let Some(field) = why
        .strip_prefix("missing field `")
        .and_then(|rest| rest.strip_suffix('`'))
    {
        let dot = if parent.is_empty() { "" } else { "." };
        return ApiError::invalid(format!("{parent}{dot}{field}"), "is required");
    }
    let field = if parent.is_empty() { "body" } else { parent };
    if SECRETS.iter().any(|secret| field.ends_with(secret)) {
        return ApiError::invalid(field, "must be a string");
    }
    ApiError::invalid(field, in_plain_words(why))
}

/// What a library says of a value, as one would say it to whoever wrote it.
fn in_plain_words(why: &str) -> String {
    if why.starts_with("UUID parsing failed") {
        return "must be a UUID".to_owned();
    }
    let said = why
        .strip_prefix("invalid type: ")
        .or_else(|| why.strip_prefix("invalid value: "));
    let Some((found, expected)) = said.and_then(|said| said.split_once(", expected ")) else {
        return why.to_owned();
    };
    let expected = match expected {
        "i64" | "u64" => "a whole number",
        "a formatted UUID string" => "a UUID",
        other => other.trim_start_matches("struct "),
    };
    let found = match found {
        "sequence" => "a list",
        "map" => "an object",
        other => other,
    };
    format!("must be {expected}, not {found}")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Body {
        #[expect(dead_code, reason = "only its parsing is tested")]
        #[serde(deserialize_with = "super::object")]
        message: Text,
    }

    #[derive(Debug, Deserialize)]
    struct Text {
        #[expect(dead_code, reason = "only its parsing is tested")]
        text: String,
    }

    fn error(body: &str) -> String {
        super::from_text::<Body>(body).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_field() {
        assert_eq!(error("{}"), "message: is required");
        assert_eq!(error(r#"{"message":{}}"#), "message.text: is required");
        assert_eq!(
            error(r#"{"message":{"text":1}}"#),
            "message.text: must be a string, not integer `1`"
        );
        assert_eq!(error(r#"[{"text":"a"}]"#), "body: must be a JSON object");
        assert_eq!(
            error(r#"{"message":["a"]}"#),
            "message: must be an object, not a list"
        );
        assert_eq!(error("null"), "body: must be a JSON object");
    }

    #[test]
    fn what_is_not_json_is_called_so() {
        let deep = format!("{{\"x\":{}", "[".repeat(10_000));
        for body in [
            "",
            "{",
            "hello",
            r#"{"message":{"text":"a"}}x"#,
            r#"{"message":{"text":"\ud800"}}"#,
            &deep,
        ] {
            assert!(
                error(body).starts_with("the body is not JSON: "),
                "{body:.20}: {}",
                error(body)
            );
        }
    }

    #[test]
    fn json_goes_by_several_media_types() {
        for name in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.x+json",
        ] {
            assert!(super::is_json(name), "{name}");
        }
        for name in ["text/plain", "application/x-www-form-urlencoded", "json"] {
            assert!(!super::is_json(name), "{name}");
        }
    }
}
