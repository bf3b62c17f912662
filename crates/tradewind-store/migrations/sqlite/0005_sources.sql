-- What sources tell of messages that they took, and sources that somebody else connects.

-- What the contact's side has told of a message of ours since; absent: nothing.
ALTER TABLE message ADD COLUMN receipt INTEGER;
-- What its source calls it; absent: it did not say.
ALTER TABLE message ADD COLUMN source_message_id TEXT;
CREATE INDEX message_source_id ON message (source_message_id) WHERE source_message_id IS NOT NULL;

CREATE TABLE own_source (
    name TEXT PRIMARY KEY,
    display_name TEXT,
    image_url TEXT,
    -- Where messages for it go; absent: it takes none.
    action_url TEXT,
    -- The token that it is known by, sealed, and that token's SHA-256.
    sealed_token TEXT NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX channel_source ON channel (source);

-- Tokens of channels are sealed from now on. Those of before are not, and no source of that time used them.
UPDATE channel SET token = NULL;
