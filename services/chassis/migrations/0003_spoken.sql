-- What a former life of this database said and this one does not remember: read from its own
-- topics by `baton restore`. Empty in a database that was never restored.
CREATE TABLE spoken (
    key INTEGER NOT NULL, id TEXT NOT NULL,
    topic TEXT NOT NULL,
    message BLOB NOT NULL,        -- as it lies in the log, packed like a stored reply
    at_us INTEGER NOT NULL,
    PRIMARY KEY (key, id)
) WITHOUT ROWID;
CREATE INDEX spoken_at ON spoken (at_us);

-- What people did to this database from outside, each with its author and reason.
CREATE TABLE repairs (
    seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL,
    what TEXT NOT NULL, detail TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL
);
