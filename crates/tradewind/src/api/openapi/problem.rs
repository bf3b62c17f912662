//! Which errors an endpoint answers. They are named by the [`ApiError`]s themselves, so the document can
//! say of none what the server would not.

use std::collections::BTreeMap;

use axum::http::HeaderName;
use serde_json::json;
use utoipa::openapi::{
    AllOfBuilder, Components, Content, Header, ObjectBuilder, Ref, RefOr, Response, Schema,
    example::ExampleBuilder, path::Operation,
};

use super::{one_of, reference};
use crate::api::error::ApiError;

const MEDIA_TYPE: &str = "application/problem+json";
/// The body limit of an example.
const BODY_BYTES: usize = 1 << 20;

/// Declares the errors of an endpoint besides those that all have: `errors!(Name: Variant, …)`, with the
/// variants of [`ApiError`]. `Name` goes into the `responses` of the endpoint.
macro_rules! errors {
    ($name:ident: $($variant:ident $({ $($field:ident: $value:expr),+ })?),+ $(,)?) => {
        pub(crate) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> $crate::api::openapi::problem::Responses {
                $crate::api::openapi::problem::responses(&[
                    $($crate::api::error::ApiError::$variant $({ $($field: $value),+ })?),+
                ])
            }
        }
    };
}
pub(crate) use errors;

pub(crate) type Responses = BTreeMap<String, RefOr<Response>>;

/// The errors by status.
pub(crate) fn responses(errors: &[ApiError]) -> Responses {
    let mut all = Responses::new();
    for error in errors {
        let response = all.entry(status_of(error));
        let response = response.or_insert_with(|| RefOr::T(Response::default()));
        add(response, std::slice::from_ref(error));
    }
    all
}

/// Errors of one status that many endpoints answer. No endpoint is concerned twice under one status.
pub(super) struct Shared {
    name: &'static str,
    errors: Vec<ApiError>,
    concerns: fn(&Operation) -> bool,
}

impl Shared {
    pub(super) fn all() -> Vec<Self> {
        let invalid = ApiError::invalid("name", "must be a string, not integer `1`");
        let malformed =
            ApiError::Malformed("EOF while parsing an object at line 1 column 1".into());
        let too_large = ApiError::TooLarge { max: BODY_BYTES };
        let needs_agent = ApiError::Forbidden { needed: "agent" };
        let needs_admin = ApiError::Forbidden { needed: "admin" };
        let shared = |name, errors, concerns| Self {
            name,
            errors,
            concerns,
        };
        vec![
            shared("invalid", vec![invalid, malformed], has_body),
            shared("no_token", vec![ApiError::Unauthorized], is_callers),
            shared(
                "too_many",
                vec![ApiError::TooManyRequests { retry_after: 1 }],
                |operation| is_callers(operation) || needs(operation, "source", None),
            ),
            shared(
                "no_visitor",
                vec![ApiError::VisitorUnauthorized],
                |operation| needs(operation, "visitor", None),
            ),
            shared(
                "no_source",
                vec![ApiError::SourceUnauthorized],
                |operation| needs(operation, "source", None),
            ),
            shared("not_a_source", vec![ApiError::NotASource], |operation| {
                needs(operation, "source", None)
            }),
            shared("not_an_agent", vec![needs_agent], |operation| {
                needs(operation, "token", Some("agent"))
            }),
            shared("not_an_admin", vec![needs_admin], |operation| {
                needs(operation, "token", Some("admin"))
            }),
            shared("method", vec![ApiError::MethodNotAllowed], |_| true),
            shared("too_slow", vec![ApiError::TooSlow], |_| true),
            shared("too_large", vec![too_large], has_body),
            shared("media_type", vec![ApiError::MediaType], has_body),
            shared("internal", vec![ApiError::Panicked], |_| true),
            shared("unavailable", vec![ApiError::Unavailable(None)], |_| true),
        ]
    }

    /// Adds them if they concern the endpoint: as a reference, unless it has errors of its own under
    /// this status.
    pub(super) fn add_to(&self, operation: &mut Operation) {
        if !(self.concerns)(operation) {
            return;
        }
        let status = self.errors.first().map(status_of).unwrap_or_default();
        let response = operation.responses.responses.entry(status);
        response
            .and_modify(|response| add(response, &self.errors))
            .or_insert_with(|| reference("responses", self.name));
    }

    /// Puts them where the references point.
    pub(super) fn define(&self, components: &mut Components) {
        let response = responses(&self.errors).into_values().next();
        let named = response.map(|response| (self.name.to_owned(), response));
        components.responses.extend(named);
    }
}

fn has_body(operation: &Operation) -> bool {
    operation.request_body.is_some()
}

fn is_callers(operation: &Operation) -> bool {
    needs(operation, "token", None) || needs(operation, "login", None)
}

/// Whether the endpoint wants a token of this kind, and of this scope if one is named.
fn needs(operation: &Operation, scheme: &str, scope: Option<&str>) -> bool {
    let needed = json!(operation.security);
    let mut needed = needed.as_array().into_iter().flatten();
    needed.any(|needed| match (&needed[scheme], scope) {
        (scopes, Some(scope)) => scopes[0] == scope,
        (scopes, None) => scopes.is_array(),
    })
}

fn status_of(error: &ApiError) -> String {
    error.problem().0.as_u16().to_string()
}

/// Adds errors to those of a response.
fn add(response: &mut RefOr<Response>, errors: &[ApiError]) {
    let RefOr::T(response) = response else { return };
    let content = response.content.entry(MEDIA_TYPE.to_owned());
    let RefOr::T(content) = content.or_insert_with(|| RefOr::T(Content::default())) else {
        return;
    };
    let mut title = "";
    for error in errors {
        let (status, problem) = error.problem();
        title = status.canonical_reason().unwrap_or_default();
        let example = ExampleBuilder::new().value(Some(json!(problem))).build();
        let code = problem.code.to_owned();
        content.examples.insert(code, RefOr::T(example));
        let header = |(name, _): (HeaderName, _)| (name.to_string(), RefOr::T(Header::default()));
        response.headers.extend(error.header().map(header));
    }
    let codes: Vec<_> = content.examples.keys().cloned().collect();
    response.description = format!("{title}: `{}`.", codes.join("`, `"));
    content.schema = Some(problem_with(codes));
}

/// A problem with one of these codes.
fn problem_with(codes: Vec<String>) -> RefOr<Schema> {
    let codes = ObjectBuilder::new().property("code", one_of(codes)).build();
    let problem: Ref = Ref::new("#/components/schemas/Problem");
    let schema = AllOfBuilder::new().item(problem).item(codes).build();
    RefOr::T(Schema::AllOf(schema))
}
