//! Why an event is not delivered, in words.

use tradewind_delivery::{
    attempt::FailureClass,
    event,
    lanes::{LaneStatus, LaneWork},
    view::Next,
};
use tradewind_model::{
    ConversationId, LogEntry, MessageId, Sequence, Webhook, WebhookStatus, WireTime,
};
use tradewind_store::HeldLane;

use crate::{api::error::ApiError, app::App};

/// Why a webhook is sent nothing at all.
pub(super) fn of_webhook(webhook: &Webhook) -> Option<String> {
    match webhook.status {
        WebhookStatus::Unsubscribed => Some("the webhook is unsubscribed".to_owned()),
        WebhookStatus::Subscribed if webhook.paused => Some("the webhook is paused".to_owned()),
        WebhookStatus::Subscribed => None,
    }
}

/// Why a conversation's next event is not delivered.
pub(super) async fn of_lane(
    app: &App,
    webhook: &Webhook,
    lane: ConversationId,
) -> Result<Option<String>, ApiError> {
    if let Some(why) = of_webhook(webhook) {
        return Ok(Some(why));
    }
    let status = lane_status(app, webhook, lane).await?;
    Ok(match status {
        LaneStatus::Free { .. } => None,
        LaneStatus::Going { first, .. } => {
            let name = name(app, lane, first).await?;
            Some(format!(
                "{name} is being sent, or will be when there is room"
            ))
        }
        LaneStatus::SettingAside => Some("an event is being set aside".to_owned()),
        LaneStatus::Held(held, work) => {
            let name = name(app, lane, held.first).await?;
            let why = why_held(app, webhook, &held, work);
            Some(format!("{name}: {why}"))
        }
    })
}

/// Where a conversation stands: as this node knows, or else as whoever serves it has saved.
async fn lane_status(
    app: &App,
    webhook: &Webhook,
    lane: ConversationId,
) -> Result<LaneStatus, ApiError> {
    if let Some(status) = app.dispatcher.lane(webhook.id, lane).await {
        return Ok(status);
    }
    let standing = super::standing(app, webhook, Some(lane)).await?;
    Ok(match standing.held {
        Some(held) => LaneStatus::Held(held, LaneWork::Waiting),
        None => LaneStatus::Free {
            read_to: standing.cursor,
        },
    })
}

/// Why the event of a message is not delivered. `None`: it is, or it never will be an event.
pub(super) async fn of_message(
    app: &App,
    webhook: &Webhook,
    message: MessageId,
) -> Result<Option<String>, ApiError> {
    let entries = app.store.find_entries(message).await?;
    let Some(lane) = entries.first().map(LogEntry::lane) else {
        return Err(ApiError::MessageNotFound);
    };
    let wanted = event::wanted(webhook);
    let Some(entry) = entries.iter().rev().find(|entry| wanted.contains(entry)) else {
        return Ok(Some("the webhook does not ask for it".to_owned()));
    };
    if let Some(why) = of_webhook(webhook) {
        return Ok(Some(why));
    }
    let status = lane_status(app, webhook, lane).await?;
    let behind = |first: Sequence| async move {
        let name = name(app, lane, first).await?;
        Ok::<_, ApiError>(format!("behind {name} of this conversation"))
    };
    Ok(match status {
        LaneStatus::Free { read_to } => unread(entry.sequence, read_to),
        LaneStatus::Going {
            first,
            is_attempting,
        } => match first.cmp(&entry.sequence) {
            std::cmp::Ordering::Less => Some(behind(first).await?),
            std::cmp::Ordering::Equal if is_attempting => Some("it is being sent".to_owned()),
            std::cmp::Ordering::Equal => Some("it is sent when there is room".to_owned()),
            std::cmp::Ordering::Greater => None,
        },
        LaneStatus::SettingAside => Some("behind an event that is being set aside".to_owned()),
        LaneStatus::Held(held, work) => match held.first.cmp(&entry.sequence) {
            std::cmp::Ordering::Less => {
                let why = why_held(app, webhook, &held, work);
                Some(format!("{}: {why}", behind(held.first).await?))
            }
            std::cmp::Ordering::Equal => Some(why_held(app, webhook, &held, work)),
            std::cmp::Ordering::Greater => None,
        },
    })
}

fn unread(sequence: Sequence, read_to: Sequence) -> Option<String> {
    let before = sequence
        .0
        .checked_sub(read_to.0)
        .filter(|count| *count > 0)?;
    Some(format!(
        "{before} entries of the log are still to be looked at before it"
    ))
}

/// What an operator knows the entry by: its message.
async fn name(app: &App, lane: ConversationId, sequence: Sequence) -> Result<String, ApiError> {
    let page = app.store.read_lane(lane, sequence, sequence, 1, 1).await?;
    let message = page.entries.first().and_then(|entry| entry.message());
    Ok(message.map_or_else(
        || format!("entry {sequence}"),
        |message| format!("event {}", message.id),
    ))
}

fn why_held(app: &App, webhook: &Webhook, held: &HeldLane, work: LaneWork) -> String {
    match work {
        LaneWork::Attempting => format!("attempt {} is under way", held.attempts + 1),
        LaneWork::Queued => "it is sent when there is room".to_owned(),
        LaneWork::Waiting if held.error == FailureClass::Loop.name() => format!(
            "our own messages answer each other without end; the conversation is left alone until {}, or until somebody writes",
            WireTime(held.due_at)
        ),
        LaneWork::Waiting => {
            let view = app.dispatcher.view(webhook.id);
            let backed_off = view.and_then(|view| view.status.backed_off);
            let next = Next::Retry {
                number: held.attempts + 1,
                at: held.due_at,
                backed_off_until: backed_off.map(|(_, probe_at)| probe_at),
            };
            let status = held
                .status
                .map_or_else(String::new, |status| format!(" {status}"));
            format!("it failed ({}{status}); {next}", held.error)
        }
    }
}
