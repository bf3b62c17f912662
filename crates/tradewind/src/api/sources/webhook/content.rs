//! What a message says that a connector brings: text, or an object with what is more.

use serde::Deserialize;
use serde_json::Value;
use tradewind_model::{Content, Postback};
use utoipa::ToSchema;

use crate::api::{
    error::ApiError,
    extract,
    messages::{ATTACHMENTS_MAX, AttachmentRequest},
};

/// Longest text of a button, in bytes.
const POSTBACK_BYTES_MAX: usize = 4_096;

/// What is more than text. At least one of these is there.
#[derive(Deserialize, ToSchema)]
pub(super) struct MoreRequest {
    text: Option<String>,
    /// At most 10.
    #[schema(inline)]
    attachments: Option<Vec<AttachmentRequest>>,
    #[schema(inline)]
    postback: Option<PostbackRequest>,
}

/// A button that was pressed. Texts are at most 4,096 bytes.
#[derive(Deserialize, ToSchema)]
struct PostbackRequest {
    payload: Option<String>,
    referral: Option<String>,
    r#type: Option<String>,
}

/// Reads what was said, of which a text may have `bytes_max`.
pub(super) fn check(field: &str, value: Value, bytes_max: usize) -> Result<Content, ApiError> {
    let content = match value {
        Value::String(text) => Content::text(text),
        value @ Value::Object(_) => more(field, value)?,
        _ => return Err(ApiError::invalid(field, "must be a string or an object")),
    };
    if content.text.trim().is_empty()
        && content.attachments.is_empty()
        && content.postback.is_none()
    {
        return Err(ApiError::invalid(field, "must not be empty"));
    }
    if content.text.len() > bytes_max {
        let why = format!("must be at most {bytes_max} bytes long");
        return Err(ApiError::invalid(field, why));
    }
    Ok(content)
}

fn more(field: &str, value: Value) -> Result<Content, ApiError> {
    let more: MoreRequest = extract::inside(field, value)?;
    let attachments = more.attachments.unwrap_or_default();
    if attachments.len() > ATTACHMENTS_MAX {
        let why = format!("must be at most {ATTACHMENTS_MAX}");
        return Err(ApiError::invalid(format!("{field}.attachments"), why));
    }
    let mut content = Content::text(more.text.unwrap_or_default());
    for (at, attachment) in attachments.into_iter().enumerate() {
        let attachment = attachment.parse(&format!("{field}.attachments[{at}]"))?;
        content.attachments.push(attachment);
    }
    if let Some(postback) = more.postback {
        let texts = [&postback.payload, &postback.referral, &postback.r#type];
        let long = |text: &&Option<String>| {
            text.as_ref()
                .is_some_and(|text| text.len() > POSTBACK_BYTES_MAX)
        };
        if texts.iter().any(long) {
            let why = format!("must be texts of at most {POSTBACK_BYTES_MAX} bytes");
            return Err(ApiError::invalid(format!("{field}.postback"), why));
        }
        content.postback = Some(Postback {
            payload: postback.payload,
            referral: postback.referral,
            kind: postback.r#type,
        });
    }
    Ok(content)
}
