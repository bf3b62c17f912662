//! One connected account, page or number at a source.

use crate::{ChannelId, Source};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Derived from `source` and `source_channel_id`, so connecting the same account again is the
    /// same channel.
    pub id: ChannelId,
    pub source: Source,
    /// The account's id at the source; for web chat, any name the operator chose.
    pub source_channel_id: String,
    pub name: Option<String>,
    pub image_url: Option<String>,
    /// The source's credential for this channel. Erased when the channel is disconnected.
    pub token: Option<String>,
    pub connected: bool,
}

impl Channel {
    pub fn id_of(source: &Source, source_channel_id: &str) -> ChannelId {
        ChannelId::derived(source.name(), source_channel_id)
    }
}
