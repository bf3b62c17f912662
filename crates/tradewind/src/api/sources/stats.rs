//! `sources.stats`: what came, and what became of it.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State};
use serde::Serialize;
use tradewind_model::WireTime;
use utoipa::ToSchema;

use crate::{
    api::{auth::Admin, error::ApiError, example, extract::JsonOrNothing, view::EmptyRequest},
    app::App,
    inbound::tally::{Counts, OfSource},
};

/// What providers posted since the server started; on a cluster, to the node that is asked.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    #[schema(value_type = String, format = DateTime)]
    since: WireTime,
    /// By source. Those of which nothing came are not there.
    sources: BTreeMap<String, SourceStats>,
    /// Messages for channels that are not connected, the latest first; they were not kept.
    unknown_channels: Vec<UnknownChannel>,
    /// Such messages of further channels, for which there is no room above.
    unknown_channels_more: u64,
    /// What was of no interest, or not understood, by what it was.
    skipped: BTreeMap<&'static str, u64>,
    /// Posts without a good signature, by their path.
    refused: BTreeMap<&'static str, u64>,
}

#[derive(Serialize, ToSchema)]
struct SourceStats {
    /// Messages that were stored.
    received: u64,
    /// Messages that had been stored before.
    repeated: u64,
    /// What the source told of messages of ours.
    receipts: u64,
}

#[derive(Serialize, ToSchema)]
struct UnknownChannel {
    source: String,
    /// Connect it by `channels.connect`.
    source_channel_id: String,
    messages: u64,
    #[schema(value_type = String, format = DateTime)]
    last_at: WireTime,
}

/// Shows what sources brought.
///
/// If a message does not arrive, this tells where it is: refused, of a channel that is not connected, or of a
/// kind that is passed over.
#[utoipa::path(
    post,
    path = "/sources.stats",
    security(("token" = ["admin"])),
    request_body(content = inline(Option<EmptyRequest>), example = json!({})),
    responses((status = 200, description = "Counts.", body = Stats, example = json!(
        example::source_stats()
    ))),
)]
pub(super) async fn stats(
    _: Admin,
    State(app): State<App>,
    JsonOrNothing(EmptyRequest {}): JsonOrNothing<EmptyRequest>,
) -> Result<Answer<Stats>, ApiError> {
    let counts = app.sources.tally.counts();
    let since = WireTime(app.sources.since);
    Ok(Answer(Stats::new(counts, since)))
}

impl Stats {
    fn new(counts: Counts, since: WireTime) -> Self {
        let of_source = |counts: OfSource| SourceStats {
            received: counts.received,
            repeated: counts.repeated,
            receipts: counts.receipts,
        };
        let sources = counts.sources.into_iter();
        let unknown = counts.unknown.into_iter();
        let mut unknown_channels: Vec<_> = unknown
            .map(|((source, source_channel_id), unknown)| UnknownChannel {
                source: source.to_string(),
                source_channel_id,
                messages: unknown.count,
                last_at: WireTime(unknown.last_at),
            })
            .collect();
        unknown_channels.sort_by_key(|channel| std::cmp::Reverse(channel.last_at.0));
        Self {
            since,
            sources: sources
                .map(|(source, counts)| (source.to_string(), of_source(counts)))
                .collect(),
            unknown_channels,
            unknown_channels_more: counts.unknown_more,
            skipped: counts.skipped,
            refused: counts.refused,
        }
    }
}
