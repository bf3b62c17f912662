//! `GET /openapi.json`: what every endpoint takes and answers, as `OpenAPI` 3.1.
//!
//! It is made of what handlers say of themselves: a route and its description are registered together,
//! so there is none without the other. What holds for all endpoints is not said at each but added here:
//! its namespace, its name, and the errors that any of them can answer.

pub(crate) mod problem;

use axum::{Router, body::Bytes, http::header, routing::get};
use tower_http::cors::CorsLayer;
use utoipa::{
    PartialSchema,
    openapi::{
        ArrayBuilder, Components, Info, InfoBuilder, License, ObjectBuilder, OneOfBuilder, OpenApi,
        OpenApiBuilder, Ref, RefOr, Required, Schema, Type,
        path::{Operation, PathItem},
        request_body::RequestBody,
        schema::SchemaType,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
        tag::TagBuilder,
    },
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::error::{ApiError, Problem},
    app::App,
};
use problem::Shared;

const DESCRIPTION: &str = include_str!("openapi/description.md");

/// A namespace without endpoints yet, and what it is about in one sentence.
pub(crate) fn namespace(name: &str, about: &str) -> OpenApiRouter<App> {
    let tag = TagBuilder::new().name(name).description(Some(about));
    let document = OpenApiBuilder::new().tags(Some([tag.build()]));
    OpenApiRouter::with_openapi(document.build())
}

/// The same endpoints behind a layer, which answers what a browser asks before it calls.
pub(crate) fn within(endpoints: OpenApiRouter<App>, cors: CorsLayer) -> OpenApiRouter<App> {
    let (router, document) = endpoints.split_for_parts();
    let router = router
        // Inside the layer.
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(cors);
    OpenApiRouter::with_openapi(document).merge(router.into())
}

/// The endpoints together with the document about them.
pub(crate) fn served(endpoints: OpenApiRouter<App>) -> Router<App> {
    let (router, mut document) = endpoints.split_for_parts();
    complete(&mut document);
    // It holds texts, numbers and lists only, so there is nothing that JSON could not say.
    let json = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    let answer = async move || (headers, json.clone());
    router.route("/openapi.json", get(answer))
}

fn complete(document: &mut OpenApi) {
    document.info = info();
    let components = document.components.get_or_insert_default();
    add_security(components);
    let problem = ("Problem".to_owned(), Problem::schema());
    components.schemas.extend([problem]);
    let shared = Shared::all();
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            name(operation, path);
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                allow_absence(body);
            }
            for errors in &shared {
                errors.add_to(operation);
            }
        }
    }
    for errors in shared {
        errors.define(components);
    }
    components
        .schemas
        .values_mut()
        .for_each(forbid_optional_nulls);
}

fn info() -> Info {
    InfoBuilder::new()
        .title("Tradewind")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(License::new("MIT OR Apache-2.0")))
        .build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post].into_iter().flatten()
}

/// `/channels.connect` is `channels.connect` of the namespace `channels`.
fn name(operation: &mut Operation, path: &str) {
    let name = path.trim_start_matches('/');
    let namespace = name.split('.').next().unwrap_or_default();
    operation.operation_id = Some(name.to_owned());
    operation.tags = Some(vec![namespace.to_owned()]);
    // Says that it is open, not that nobody thought of it.
    operation.security.get_or_insert_default();
}

/// A body that is described as an `Option` can be left out; it cannot be `null`.
fn allow_absence(body: &mut RequestBody) {
    if body.required.is_some() {
        return;
    }
    body.required = Some(Required::False);
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content {
            content.schema.as_mut().map(forbid_null);
        }
    }
}

/// In what the server says, a key that can be left out is left out instead of `null`.
fn forbid_optional_nulls(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = schema else {
        return;
    };
    for (key, property) in &mut object.properties {
        if !object.required.contains(key) {
            forbid_null(property);
        }
    }
}

/// The schema without `null`.
fn forbid_null(schema: &mut RefOr<Schema>) {
    let without_null = |types: &mut SchemaType| {
        if let SchemaType::Array(all) = types {
            all.retain(|one| *one != Type::Null);
            if let [one] = all.as_slice() {
                *types = SchemaType::Type(one.clone());
            }
        }
    };
    let RefOr::T(typed) = schema else { return };
    match typed {
        Schema::Object(object) => without_null(&mut object.schema_type),
        Schema::Array(array) => without_null(&mut array.schema_type),
        Schema::OneOf(either) => {
            either.items.retain(|schema| !is_null(schema));
            if either.items.len() == 1
                && let Some(other) = either.items.pop()
            {
                *schema = other;
            }
        }
        _ => {}
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    let null = SchemaType::Type(Type::Null);
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == null)
}

fn add_security(components: &mut Components) {
    let schemes = [
        (
            "token",
            "An API token. Its scope is `read`, `agent` or `admin`; each includes those before it.",
        ),
        (
            "visitor",
            "A visitor's token, from `chatplugin.authenticate`; good for an hour.",
        ),
        (
            "source",
            "The token of a source of your own, from `sources.create`.",
        ),
        (
            "login",
            "The token of a user, from `users.login`; good for a week, or what the settings say.",
        ),
    ];
    for (name, about) in schemes {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(about));
        components.add_security_scheme(name, SecurityScheme::Http(scheme.build()));
    }
}

/// A text that is one of these.
pub(crate) fn one_of<T: Into<serde_json::Value>>(
    names: impl IntoIterator<Item = T>,
) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names))
}

/// A whole number, or a text.
pub(crate) fn number_or_text() -> OneOfBuilder {
    let of = |kind| ObjectBuilder::new().schema_type(kind);
    OneOfBuilder::new()
        .item(of(Type::Integer))
        .item(of(Type::String))
}

/// A text, or what is more.
pub(crate) fn text_or<T: PartialSchema>() -> OneOfBuilder {
    OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::String))
        .item(T::schema())
}

/// A list of at least one of these texts.
pub(crate) fn some_of<const N: usize>(names: [&'static str; N]) -> ArrayBuilder {
    ArrayBuilder::new().items(one_of(names)).min_items(Some(1))
}

/// A reference to something under `components`.
fn reference<T>(kind: &str, name: &str) -> RefOr<T> {
    RefOr::Ref(Ref::new(format!("#/components/{kind}/{name}")))
}
