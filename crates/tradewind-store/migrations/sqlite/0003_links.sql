-- Fewer pages are written for a message: what found a conversation's messages and entries by an index,
-- in which each conversation has its place far from all others', follows links instead.

-- No AUTOINCREMENT, which reads and writes a row for each entry: counter.used_sequence stands in.
CREATE TABLE new_log (
    sequence INTEGER PRIMARY KEY,
    lane_row INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    -- As in 0002: absent when the entry is about a channel, and no foreign keys.
    message_row INTEGER,
    at_ms INTEGER NOT NULL
) STRICT;
INSERT INTO new_log (sequence, lane_row, position, kind, message_row, at_ms)
    SELECT sequence, lane_row, position, kind, message_row, at_ms FROM log ORDER BY sequence;
-- Sequences up to this one are never given out again, although the sweep removed their entries.
ALTER TABLE counter ADD COLUMN used_sequence INTEGER NOT NULL DEFAULT 0;
UPDATE counter SET used_sequence =
    COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'log'), 0);
DROP TABLE log;
ALTER TABLE new_log RENAME TO log;
-- The first entry of a message has its row as its sequence, so that messages lead to it. (Of a message
-- that was stored before this migration only by chance: then it is left out here all the same.)
CREATE INDEX log_lane ON log (lane_row) WHERE message_row IS NOT sequence;

-- Its row is the sequence of its first entry, which is larger than any row and any sequence before.
-- No foreign key: it would need an index on all rows.
CREATE TABLE new_message (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    conversation_row INTEGER NOT NULL,
    position INTEGER NOT NULL,
    -- The message before it in its conversation, which may be swept; 0: there was none. Absent: it was
    -- stored before this migration, and so were all before it, which all are anchors.
    previous_row INTEGER,
    -- Whether message_anchor knows it.
    anchor INTEGER NOT NULL,
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
INSERT INTO new_message (row, id, conversation_row, position, previous_row, anchor, sender_kind,
        sender_id, content, state, failure_reason, sent_at_ms, stored_at_ms, last_sequence)
    SELECT row, id, conversation_row, position, NULL, 1, sender_kind, sender_id, content, state,
        failure_reason, sent_at_ms, stored_at_ms, last_sequence
    FROM message ORDER BY row;
-- From an anchor on, messages lead to the one before them.
CREATE UNIQUE INDEX message_anchor ON new_message (conversation_row, position) WHERE anchor = 1;

CREATE TABLE new_conversation (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    channel_row INTEGER NOT NULL REFERENCES channel (row),
    -- Position of the first message that is left, of its last message, and of its last entry in the log.
    first_position INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    entry_count INTEGER NOT NULL,
    unread_count INTEGER NOT NULL,
    -- Message rows grow with arrival, so this is also what the list of conversations is sorted by.
    last_message_row INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    contact_source_id TEXT NOT NULL,
    contact_first_name TEXT,
    contact_last_name TEXT,
    contact_avatar_url TEXT
) STRICT;
INSERT INTO new_conversation (row, id, channel_row, first_position, message_count, entry_count,
        unread_count, last_message_row, created_at_ms, contact_source_id, contact_first_name,
        contact_last_name, contact_avatar_url)
    SELECT c.row, c.id, c.channel_row,
        (SELECT MIN(m.position) FROM message m WHERE m.conversation_row = c.row),
        c.message_count, c.entry_count, c.unread_count, c.last_message_row, c.created_at_ms,
        c.contact_source_id, c.contact_first_name, c.contact_last_name, c.contact_avatar_url
    FROM conversation c ORDER BY c.row;
DROP TABLE message;
ALTER TABLE new_message RENAME TO message;
DROP TABLE conversation;
ALTER TABLE new_conversation RENAME TO conversation;
CREATE INDEX conversation_last ON conversation (last_message_row);
