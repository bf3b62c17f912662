//! The tables that are moved: what both backends have in common.

use sha2::{Digest as _, Sha256};

/// A table, its columns in any order, and which of them, from the first on, are its key.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    /// How many of the first columns are its key.
    pub(super) key: usize,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// A number that `PostgreSQL` keeps in four bytes, or in two.
    Four,
    Two,
    Flag,
    Id,
    Text,
    Bytes,
    /// A consumer's cursor, of which `PostgreSQL` keeps one for each shard.
    Cursor,
}

/// A value, the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Bytes(Vec<u8>),
    Text(String),
}

pub(super) type Row = Vec<Value>;

impl Table {
    pub(super) fn key_of(&self, row: &Row) -> Vec<Value> {
        row.iter().take(self.key).cloned().collect()
    }

    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

impl Value {
    /// Adds it to a checksum, so that no two rows look alike.
    pub(super) fn add_to(&self, hash: &mut Sha256) {
        let (kind, bytes): (u8, &[u8]) = match self {
            Self::Null => (0, &[]),
            Self::Number(number) => (1, &number.to_be_bytes()),
            Self::Bytes(bytes) => (2, bytes),
            Self::Text(text) => (3, text.as_bytes()),
        };
        hash.update([kind]);
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    }
}

use Kind::{Bytes, Cursor, Flag, Four, Id, Number, Text, Two};

/// In an order in which what a row points to is there before it.
pub(super) static TABLES: &[Table] = &[
    Table {
        name: "channel",
        key: 1,
        columns: &[
            ("row", Number),
            ("id", Id),
            ("source", Text),
            ("source_channel_id", Text),
            ("name", Text),
            ("image_url", Text),
            ("token", Text),
            ("connected", Flag),
            ("entry_count", Number),
        ],
    },
    Table {
        name: "conversation",
        key: 1,
        columns: &[
            ("row", Number),
            ("id", Id),
            ("channel_row", Number),
            ("first_position", Number),
            ("message_count", Number),
            ("entry_count", Number),
            ("unread_count", Number),
            ("last_message_row", Number),
            ("created_at_ms", Number),
            ("contact_source_id", Text),
            ("contact_first_name", Text),
            ("contact_last_name", Text),
            ("contact_avatar_url", Text),
            ("contact_folded", Text),
        ],
    },
    Table {
        name: "message",
        key: 1,
        columns: &[
            ("row", Number),
            ("id", Id),
            ("conversation_row", Number),
            ("position", Number),
            ("sender_kind", Two),
            ("sender_id", Text),
            ("content", Text),
            ("state", Two),
            ("failure_reason", Text),
            ("sent_at_ms", Number),
            ("stored_at_ms", Number),
            ("last_sequence", Number),
            ("receipt", Two),
            ("source_message_id", Text),
        ],
    },
    Table {
        name: "log",
        key: 1,
        columns: &[
            ("sequence", Number),
            ("lane_row", Number),
            ("position", Number),
            ("kind", Two),
            ("message_row", Number),
            ("at_ms", Number),
        ],
    },
    Table {
        name: "consumer",
        key: 1,
        columns: &[
            ("row", Number),
            ("id", Text),
            ("generation", Number),
            ("cursor", Cursor),
            ("backed_off_since_ms", Number),
        ],
    },
    Table {
        name: "held_lane",
        key: 2,
        columns: &[
            ("consumer_row", Number),
            ("lane_row", Number),
            ("first_sequence", Number),
            ("attempts", Number),
            ("failing_since_ms", Number),
            ("due_at_ms", Number),
            ("error", Text),
            ("status", Four),
        ],
    },
    Table {
        name: "webhook",
        key: 1,
        columns: &[
            ("row", Number),
            ("id", Id),
            ("consumer_row", Number),
            ("url", Text),
            ("headers", Text),
            ("subscribed", Flag),
            ("api_secret", Id),
            ("old_secret", Id),
            ("old_secret_until_ms", Number),
            ("name", Text),
            ("events", Text),
            ("senders", Text),
            ("paused", Flag),
            ("ended_because", Text),
        ],
    },
    Table {
        name: "set_aside",
        key: 2,
        columns: &[
            ("consumer_row", Number),
            ("sequence", Number),
            ("lane_row", Number),
            ("attempts", Number),
            ("failing_since_ms", Number),
            ("error", Text),
            ("status", Four),
            ("at_ms", Number),
        ],
    },
    Table {
        name: "replay",
        key: 1,
        columns: &[
            ("row", Number),
            ("id", Id),
            ("consumer_row", Number),
            ("webhook_row", Number),
            ("since_ms", Number),
            ("until_ms", Number),
            ("conversation_id", Id),
            ("message_id", Id),
            ("failed", Flag),
            ("to_sequence", Number),
            ("created_at_ms", Number),
        ],
    },
    Table {
        name: "token",
        key: 1,
        columns: &[
            ("hash", Bytes),
            ("id", Id),
            ("name", Text),
            ("scope", Two),
            ("expires_at_ms", Number),
            ("created_at_ms", Number),
            ("user_id", Id),
        ],
    },
    Table {
        name: "app_user",
        key: 1,
        columns: &[
            ("row", Number),
            ("id", Id),
            ("email", Text),
            ("first_name", Text),
            ("last_name", Text),
            ("password_hash", Text),
            ("scope", Two),
            ("created_at_ms", Number),
        ],
    },
    Table {
        name: "invitation",
        key: 1,
        columns: &[
            ("id", Id),
            ("email", Text),
            ("scope", Two),
            ("created_at_ms", Number),
            ("expires_at_ms", Number),
            ("invited_by", Id),
        ],
    },
    Table {
        name: "own_source",
        key: 1,
        columns: &[
            ("name", Text),
            ("display_name", Text),
            ("image_url", Text),
            ("action_url", Text),
            ("sealed_token", Text),
            ("token_hash", Bytes),
            ("created_at_ms", Number),
        ],
    },
    Table {
        name: "tag",
        key: 1,
        columns: &[("row", Number), ("id", Id), ("name", Text), ("color", Two)],
    },
    Table {
        name: "conversation_tag",
        key: 2,
        columns: &[("conversation_row", Number), ("tag_id", Id)],
    },
    Table {
        name: "metadata",
        key: 2,
        columns: &[
            ("conversation_row", Number),
            ("key", Text),
            ("value", Text),
            ("folded", Text),
        ],
    },
    Table {
        name: "audit",
        key: 1,
        columns: &[
            ("row", Number),
            ("at_ms", Number),
            ("actor_id", Id),
            ("actor_name", Text),
            ("action", Text),
            ("subject", Text),
            ("detail", Text),
        ],
    },
    Table {
        name: "secret",
        key: 1,
        columns: &[("name", Text), ("value", Bytes)],
    },
    Table {
        name: "idempotency",
        key: 2,
        columns: &[
            ("scope", Text),
            ("key", Text),
            ("request_hash", Bytes),
            ("message_row", Number),
            ("created_at_ms", Number),
        ],
    },
];
