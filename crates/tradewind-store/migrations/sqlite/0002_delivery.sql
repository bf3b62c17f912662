-- A lane is what keeps an order: a conversation, or a channel for the facts about it. `lane_row` is the
-- row of the conversation, or minus the row of the channel.

CREATE TABLE new_log (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    lane_row INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    -- Absent when the entry is about a channel. No foreign keys: they would need indexes, and the sweep
    -- looks at last_sequence instead.
    message_row INTEGER,
    at_ms INTEGER NOT NULL
) STRICT;
INSERT INTO new_log (sequence, lane_row, position, kind, message_row, at_ms)
    SELECT sequence, conversation_row, position, kind, message_row, at_ms FROM log;
-- The next sequence stays the next one, also when the log is empty.
DELETE FROM sqlite_sequence WHERE name = 'new_log';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_log', seq FROM sqlite_sequence WHERE name = 'log';
DROP TABLE log;
ALTER TABLE new_log RENAME TO log;
CREATE INDEX log_lane ON log (lane_row);

CREATE TABLE new_held_lane (
    consumer_row INTEGER NOT NULL REFERENCES consumer (row),
    lane_row INTEGER NOT NULL,
    first_sequence INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    failing_since_ms INTEGER NOT NULL,
    due_at_ms INTEGER NOT NULL,
    error TEXT NOT NULL,
    status INTEGER,
    PRIMARY KEY (consumer_row, lane_row)
) STRICT, WITHOUT ROWID;
INSERT INTO new_held_lane
    (consumer_row, lane_row, first_sequence, attempts, failing_since_ms, due_at_ms, error)
    SELECT consumer_row, conversation_row, first_sequence, attempts, due_at_ms, due_at_ms, error
    FROM held_lane;
DROP TABLE held_lane;
ALTER TABLE new_held_lane RENAME TO held_lane;
CREATE INDEX held_lane_first ON held_lane (first_sequence);
CREATE INDEX held_lane_lane ON held_lane (lane_row);

ALTER TABLE consumer ADD COLUMN backed_off_since_ms INTEGER;
-- Entries about the channel in the log.
ALTER TABLE channel ADD COLUMN entry_count INTEGER NOT NULL DEFAULT 0;

ALTER TABLE webhook ADD COLUMN name TEXT;
-- Arrays of names in JSON.
ALTER TABLE webhook ADD COLUMN events TEXT NOT NULL DEFAULT '[]';
ALTER TABLE webhook ADD COLUMN senders TEXT NOT NULL DEFAULT '[]';
ALTER TABLE webhook ADD COLUMN paused INTEGER NOT NULL DEFAULT FALSE;
ALTER TABLE webhook ADD COLUMN old_secret BLOB;
ALTER TABLE webhook ADD COLUMN old_secret_until_ms INTEGER;
ALTER TABLE webhook ADD COLUMN ended_because TEXT;

CREATE TABLE set_aside (
    consumer_row INTEGER NOT NULL REFERENCES consumer (row),
    sequence INTEGER NOT NULL,
    lane_row INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    failing_since_ms INTEGER NOT NULL,
    error TEXT NOT NULL,
    status INTEGER,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (consumer_row, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX set_aside_sequence ON set_aside (sequence);

CREATE TABLE replay (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    -- Who does it, and for which webhook.
    consumer_row INTEGER NOT NULL UNIQUE REFERENCES consumer (row),
    webhook_row INTEGER NOT NULL REFERENCES webhook (row),
    since_ms INTEGER,
    until_ms INTEGER,
    conversation_id BLOB,
    message_id BLOB,
    failed INTEGER NOT NULL,
    to_sequence INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX replay_webhook ON replay (webhook_row);
