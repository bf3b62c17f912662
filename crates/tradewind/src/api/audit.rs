//! `audit.list`: who changed what.

use axum::{Json as Answer, extract::State};
use serde::Serialize;
use tradewind_model::{AuditEntry, WireTime};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        example,
        extract::JsonOrNothing,
        openapi,
        page::{AuditCursor, PageMetadata, PageRequest, PageView},
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

pub(crate) fn router() -> OpenApiRouter<App> {
    openapi::namespace("audit", "Who changed what.").routes(routes!(list))
}

#[derive(Serialize, ToSchema)]
struct AuditView {
    #[schema(value_type = String, format = DateTime)]
    at: WireTime,
    actor: ActorView,
    /// Such as `channel.connected`; the docs have them all.
    action: String,
    /// The id of what was changed; of an invitation, the e-mail address.
    subject: String,
    detail: String,
}

#[derive(Serialize, ToSchema)]
struct ActorView {
    /// Of the token or the user; `null`: the server itself.
    #[schema(required)]
    id: Option<Uuid>,
    name: String,
}

/// Lists who changed what.
///
/// The latest change comes first.
#[utoipa::path(
    post,
    path = "/audit.list",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<PageRequest>), example = json!({"page_size": 20})),
    responses(
        (
            status = 200,
            description = "A page of changes.",
            body = PageView<AuditView>,
            example = json!({
                "data": [{
                    "at": example::ASKED_AT,
                    "actor": {"id": example::OWNER, "name": "ada@example.com"},
                    "action": "channel.connected",
                    "subject": example::CHANNEL,
                    "detail": "chat_plugin shop",
                }],
                "response_metadata": example::single_page(),
            }),
        ),
    ),
)]
async fn list(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(page): JsonOrNothing<PageRequest>,
) -> Result<Answer<PageView<AuditView>>, ApiError> {
    let before = page.cursor::<AuditCursor>()?;
    let size = page.size(PAGE_SIZE_DEFAULT);
    let before = before.map(|AuditCursor(row)| row);
    let found = app.store.list_audit(before, size).await?;
    let view = |entry: AuditEntry| AuditView {
        at: WireTime(entry.at),
        actor: ActorView {
            id: entry.actor.id,
            name: entry.actor.name,
        },
        action: entry.action,
        subject: entry.subject,
        detail: entry.detail,
    };
    let next = found.next.map(AuditCursor);
    Ok(Answer(PageView {
        data: found.items.into_iter().map(view).collect(),
        response_metadata: PageMetadata::new(None, next, found.total),
    }))
}
