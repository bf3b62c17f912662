-- People, what they note about conversations, and who changed what.

-- `user` is a word of SQL.
CREATE TABLE app_user (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    -- In lower case.
    email TEXT NOT NULL UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    -- With its algorithm and salt (PHC string format).
    password_hash TEXT NOT NULL,
    scope INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE invitation (
    id BLOB PRIMARY KEY,
    email TEXT NOT NULL,
    scope INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    -- The user or the token that did; with a user who is removed, it goes too.
    invited_by BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX invitation_expires ON invitation (expires_at_ms);

-- Tokens of before have no time of their own.
ALTER TABLE token ADD COLUMN created_at_ms INTEGER NOT NULL DEFAULT 0;
-- Whose login it is; absent: it is nobody's.
ALTER TABLE token ADD COLUMN user_id BLOB;
CREATE UNIQUE INDEX token_id ON token (id);
CREATE INDEX token_user ON token (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX token_expires ON token (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

CREATE TABLE tag (
    row INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    color INTEGER NOT NULL
) STRICT;

-- A conversation may have a tag that is not, or no longer, there.
CREATE TABLE conversation_tag (
    conversation_row INTEGER NOT NULL,
    tag_id BLOB NOT NULL,
    PRIMARY KEY (conversation_row, tag_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX conversation_tag_tag ON conversation_tag (tag_id, conversation_row);

CREATE TABLE metadata (
    conversation_row INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    -- The beginning of the value in lower case, by which filters find it.
    folded TEXT NOT NULL,
    PRIMARY KEY (conversation_row, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX metadata_value ON metadata (key, folded, conversation_row);

-- The contact's name in lower case, by which filters find it; absent: it is not known.
ALTER TABLE conversation ADD COLUMN contact_folded TEXT;
CREATE INDEX conversation_contact ON conversation (contact_folded) WHERE contact_folded IS NOT NULL;
-- Runs of three characters of it, with a blank before and after. What names a contact or forgets one keeps
-- it up by itself, so that nothing can be left out.
CREATE VIRTUAL TABLE contact_name USING fts5 (
    parts, content = '', contentless_delete = 1, detail = 'none', tokenize = 'trigram case_sensitive 1');
CREATE TRIGGER contact_named AFTER UPDATE OF contact_folded ON conversation BEGIN
    DELETE FROM contact_name WHERE rowid = OLD.row AND OLD.contact_folded IS NOT NULL;
    INSERT INTO contact_name (rowid, parts)
        SELECT NEW.row, ' ' || NEW.contact_folded || ' ' WHERE NEW.contact_folded IS NOT NULL;
END;
CREATE TRIGGER contact_came AFTER INSERT ON conversation WHEN NEW.contact_folded IS NOT NULL BEGIN
    INSERT INTO contact_name (rowid, parts) VALUES (NEW.row, ' ' || NEW.contact_folded || ' ');
END;
CREATE TRIGGER contact_went AFTER DELETE ON conversation WHEN OLD.contact_folded IS NOT NULL BEGIN
    DELETE FROM contact_name WHERE rowid = OLD.row;
END;
CREATE INDEX conversation_channel ON conversation (channel_row);
CREATE INDEX conversation_created ON conversation (created_at_ms);
-- With what filters ask for most, so that a walk down the list finds it there.
DROP INDEX conversation_last;
CREATE INDEX conversation_last ON conversation (last_message_row, unread_count);

CREATE TABLE audit (
    row INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    -- The token or the user that did it; absent: the server itself.
    actor_id BLOB,
    actor_name TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
