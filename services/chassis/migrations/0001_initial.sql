-- What every process of Baton keeps beside its own tables. Times are microseconds since 1970, UTC.

-- One line a fact about this database: made_us, partitions, clean (1 after a graceful stop).
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Business keys, once each: everything that grows refers to the integer, so that a key's rows
-- lie together and a random order id costs one random page, not five.
CREATE TABLE keys (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- The next offset to apply; moves only with the effects of the records before it.
CREATE TABLE offsets (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

-- What was applied: the identity of a message is who sent it and its id.
CREATE TABLE inbox (
    key INTEGER NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, at_us INTEGER NOT NULL,
    PRIMARY KEY (key, source, id)
) WITHOUT ROWID;

-- What is to be said, in the order in which it must be heard.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    key INTEGER NOT NULL, id TEXT NOT NULL, attempt INTEGER NOT NULL,
    topic TEXT NOT NULL, record_key TEXT NOT NULL, value BLOB NOT NULL, headers BLOB NOT NULL,
    made_us INTEGER NOT NULL,
    sent_us INTEGER,              -- NULL until the broker acknowledged it
    blocked TEXT                  -- why this row alone was refused for good; its key waits behind it
);
CREATE UNIQUE INDEX outbox_once ON outbox (key, id, attempt);
CREATE INDEX outbox_unsent ON outbox (seq) WHERE sent_us IS NULL;
CREATE INDEX outbox_blocked ON outbox (seq) WHERE blocked IS NOT NULL;

-- What is due when, by the partition whose owner may fire it.
CREATE TABLE timers (
    key INTEGER NOT NULL, name TEXT NOT NULL, partition INTEGER NOT NULL,
    due_us INTEGER,               -- NULL while the key is parked
    held_us INTEGER,              -- what remained when the key was parked
    interval_us INTEGER NOT NULL, -- the time it grants from the moment we can hear again
    awaits TEXT NOT NULL,         -- the topic whose reader it waits for, or empty
    message_id TEXT NOT NULL,     -- the command it waits for: unsent in the outbox is not a try
    PRIMARY KEY (key, name)
) WITHOUT ROWID;
CREATE INDEX timers_due ON timers (partition, due_us);

-- One row an operation, for life: the idempotency key of participants and gateways.
CREATE TABLE operations (
    key INTEGER NOT NULL, source TEXT NOT NULL, operation TEXT NOT NULL,
    partition INTEGER NOT NULL,
    status TEXT NOT NULL,         -- calling -> done | refused; any -> undo_calling -> undone
    reply BLOB,                   -- what was answered to the do, as it was made
    undo_reply BLOB,              -- what was answered to the undo
    call BLOB,                    -- the call under way and the command that asked for it
    undo_waits BLOB,              -- an undo that came while its do was calling
    said INTEGER NOT NULL,        -- how often a stored reply was said again
    version INTEGER NOT NULL,
    PRIMARY KEY (key, source, operation)
) WITHOUT ROWID;
CREATE INDEX operations_calling ON operations (partition)
    WHERE status IN ('calling', 'undo_calling');

-- Keys that wait for a person or for a later release, and why.
CREATE TABLE parked_keys (
    key INTEGER PRIMARY KEY, reason TEXT NOT NULL, detail TEXT NOT NULL, since_us INTEGER NOT NULL
);

-- Records that were not applied: rejected for good, parked, or queued behind a parked one.
CREATE TABLE dead_letters (
    seq INTEGER PRIMARY KEY,
    key INTEGER,                  -- NULL where the record's key was itself unreadable
    kind TEXT NOT NULL,           -- rejected | parked | follower
    reason TEXT NOT NULL, detail TEXT NOT NULL, stage TEXT NOT NULL,
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    record_key BLOB, value BLOB, headers BLOB NOT NULL,
    at_us INTEGER NOT NULL,
    state TEXT NOT NULL           -- open -> redriven | rejected | discarded
);
CREATE INDEX dead_letters_open ON dead_letters (key, seq) WHERE state = 'open';
CREATE INDEX dead_letters_pending ON dead_letters (topic) WHERE state = 'open';
CREATE INDEX dead_letters_settled ON dead_letters (at_us) WHERE state <> 'open';

-- After an unclean end: how often a record was begun and not finished.
CREATE TABLE attempts (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
