//! `audit.list`: who changed what.

use axum::{Json as Answer, Router, extract::State, routing::post};
use serde::Serialize;
use tradewind_model::{AuditEntry, WireTime};
use uuid::Uuid;

use crate::{
    api::{
        auth::Admin,
        error::ApiError,
        extract::JsonOrNothing,
        page::{AuditCursor, PageMetadata, PageRequest, PageView},
    },
    app::App,
};

const PAGE_SIZE_DEFAULT: usize = 20;

pub(crate) fn router() -> Router<App> {
    Router::new().route("/audit.list", post(list))
}

#[derive(Serialize)]
struct AuditView {
    at: WireTime,
    actor: ActorView,
    action: String,
    /// The id of what was changed; of an invitation, the e-mail address.
    subject: String,
    detail: String,
}

#[derive(Serialize)]
struct ActorView {
    /// Of the token or the user; `null`: the server itself.
    id: Option<Uuid>,
    name: String,
}

/// The latest change first.
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
