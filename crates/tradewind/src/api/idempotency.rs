//! `Idempotency-Key`: a repeated request does not write twice.

use std::fmt;

use axum::{extract::FromRequestParts, http::request::Parts};
use sha2::{Digest as _, Sha256};
use tradewind_store::Idempotency;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder, Required, Type,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use crate::{api::error::ApiError, app::App};

const KEY_BYTES_MAX: usize = 255;

/// The key of a request, if it has one.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(Option<String>);

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        let key = value
            .to_str()
            .ok()
            .filter(|key| (1..=KEY_BYTES_MAX).contains(&key.len()));
        let key = key.ok_or_else(|| {
            ApiError::invalid(
                "Idempotency-Key",
                format!("must be 1 to {KEY_BYTES_MAX} ASCII characters"),
            )
        })?;
        Ok(Self(Some(key.to_owned())))
    }
}

impl IntoParams for IdempotencyKey {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(KEY_BYTES_MAX))
            // What is not ASCII, or no text, cannot be a key.
            .pattern(Some("^[ -~]+$"));
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(
                "A repeat with the same key writes nothing and gets the first answer.",
            ))
            .schema(Some(text));
        vec![parameter.build()]
    }
}

impl IdempotencyKey {
    /// `caller` is whose key it is; `request`, the parts that make two requests the same.
    pub(crate) fn of(self, caller: fmt::Arguments<'_>, request: &[&str]) -> Option<Idempotency> {
        let key = self.0?;
        let mut hash = Sha256::new();
        for part in request {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Some(Idempotency {
            scope: caller.to_string(),
            key,
            request_hash: hash.finalize().into(),
        })
    }
}
