-- Times are milliseconds since 1970, identifiers 16 bytes, enumerations small integers (sqlite/row.rs).
-- A row that other tables point to has a small integer of its own, `row`: it is what indexes carry.

CREATE TABLE channel (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    source TEXT NOT NULL,
    source_channel_id TEXT NOT NULL,
    name TEXT,
    image_url TEXT,
    token TEXT,
    connected INTEGER NOT NULL
) STRICT;

CREATE TABLE conversation (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    channel_row INTEGER NOT NULL REFERENCES channel (row),
    contact_source_id TEXT NOT NULL,
    contact_first_name TEXT,
    contact_last_name TEXT,
    contact_avatar_url TEXT,
    created_at_ms INTEGER NOT NULL,
    -- Position of its last message, and of its last entry in the log.
    message_count INTEGER NOT NULL,
    entry_count INTEGER NOT NULL,
    unread_count INTEGER NOT NULL,
    -- Message rows grow with arrival, so this is also what the list of conversations is sorted by.
    last_message_row INTEGER NOT NULL UNIQUE
) STRICT;

-- A row number is never used twice: the newest message is the last of its conversation, and that one
-- is not removed before there is a newer one.
CREATE TABLE message (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    conversation_row INTEGER NOT NULL REFERENCES conversation (row),
    position INTEGER NOT NULL,
    sender_kind INTEGER NOT NULL,
    sender_id TEXT NOT NULL,
    content TEXT NOT NULL,
    state INTEGER NOT NULL,
    failure_reason TEXT,
    sent_at_ms INTEGER NOT NULL,
    stored_at_ms INTEGER NOT NULL,
    -- The newest entry about this message: once the log has lost it, nothing refers to the message.
    last_sequence INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX message_position ON message (conversation_row, position);

-- AUTOINCREMENT: a sequence is never used twice, not even after the whole log was swept.
-- No foreign key on message_row: it would need an index, and the sweep looks at last_sequence instead.
CREATE TABLE log (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation_row INTEGER NOT NULL REFERENCES conversation (row),
    position INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    message_row INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX log_lane ON log (conversation_row);

CREATE TABLE consumer (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    generation INTEGER NOT NULL,
    cursor INTEGER NOT NULL
) STRICT;

CREATE TABLE held_lane (
    consumer_row INTEGER NOT NULL REFERENCES consumer (row),
    conversation_row INTEGER NOT NULL REFERENCES conversation (row),
    first_sequence INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    error TEXT NOT NULL,
    PRIMARY KEY (consumer_row, conversation_row)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_lane_first ON held_lane (first_sequence);
CREATE INDEX held_lane_conversation ON held_lane (conversation_row);

CREATE TABLE webhook (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    consumer_row INTEGER NOT NULL UNIQUE REFERENCES consumer (row),
    url TEXT NOT NULL,
    -- A JSON array of [name, value].
    headers TEXT NOT NULL,
    subscribed INTEGER NOT NULL,
    api_secret BLOB NOT NULL
) STRICT;

CREATE TABLE token (
    hash BLOB PRIMARY KEY,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    scope INTEGER NOT NULL,
    expires_at_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    message_row INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_created ON idempotency (created_at_ms);

-- One row: what would otherwise have to be counted.
CREATE TABLE counter (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    conversations INTEGER NOT NULL,
    -- Messages up to this row were swept; the last of their conversations were left.
    swept_message_row INTEGER NOT NULL,
    -- Grows when someone asks whether the store accepts writes.
    checks INTEGER NOT NULL
) STRICT;
INSERT INTO counter (one, conversations, swept_message_row, checks) VALUES (1, 0, 0, 0);
