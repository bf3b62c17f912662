//! The columns that both backends read, under the same names and aliases.

/// Of `message m`, `conversation c` and `channel h`: a message.
macro_rules! message_columns {
    () => {
        "m.id, c.id, h.id, h.source, c.contact_source_id, m.position, m.sender_kind, m.sender_id, \
         m.content, m.state, m.sent_at_ms, m.receipt, m.failure_reason"
    };
}

/// Of `channel h`: a channel.
macro_rules! channel_columns {
    () => {
        "h.id, h.source, h.source_channel_id, h.name, h.image_url, h.token, h.connected"
    };
}

/// Of these three: a conversation with its last message, and its row.
macro_rules! conversation_columns {
    () => {
        concat!(
            $crate::columns::message_columns!(),
            ", ",
            $crate::columns::channel_columns!(),
            ", c.created_at_ms, c.contact_first_name, c.contact_last_name, c.contact_avatar_url, \
             c.unread_count, c.row"
        )
    };
}

/// Of `log l` and what [`entry_joins`] joins to it: an entry.
macro_rules! entry_columns {
    () => {
        concat!(
            $crate::columns::message_columns!(),
            ", l.sequence, l.position, l.kind, l.at_ms, c.created_at_ms, \
             h.source_channel_id, h.name, h.image_url"
        )
    };
}

macro_rules! entry_joins {
    () => {
        "LEFT JOIN message m ON m.row = l.message_row
         LEFT JOIN conversation c ON c.row = l.lane_row
         JOIN channel h ON h.row = COALESCE(c.channel_row, -l.lane_row) "
    };
}

/// Of `webhook w`: a webhook.
macro_rules! webhook_columns {
    () => {
        "w.id, w.url, w.headers, w.subscribed, w.api_secret, w.old_secret, w.old_secret_until_ms, \
         w.name, w.events, w.senders, w.paused, w.ended_because"
    };
}

pub(crate) use {
    channel_columns, conversation_columns, entry_columns, entry_joins, message_columns,
    webhook_columns,
};

/// How many columns each names: a query's own follow them.
pub(crate) const MESSAGE_WIDTH: usize = 13;
pub(crate) const CHANNEL_WIDTH: usize = 7;
pub(crate) const ENTRY_WIDTH: usize = MESSAGE_WIDTH + 8;
pub(crate) const WEBHOOK_WIDTH: usize = 12;
