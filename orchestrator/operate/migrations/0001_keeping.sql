-- The console's own truth: who did what, and what is done to many sagas. Times: microseconds, UTC.

-- One line an act, before it is told and when its result is known. hash: SHA-256 over the hash of
-- the line before and this one's columns, so that no line can be changed, put in or taken out.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL, via TEXT NOT NULL,
    action TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL,
    request TEXT NOT NULL,             -- the id that the lines of one act share
    result TEXT NOT NULL,              -- `asked` before it is told
    hash TEXT NOT NULL
);
CREATE INDEX audit_of_actor ON audit (actor, seq);
CREATE INDEX audit_of_target ON audit (target, seq);
CREATE TRIGGER audit_stands BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
    BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;

-- One verb for many sagas.
CREATE TABLE bulk (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL UNIQUE,      -- asked twice under one id, it is one operation
    verb TEXT NOT NULL, step TEXT, evidence TEXT NOT NULL, assignee TEXT NOT NULL,
    reason TEXT NOT NULL, actor TEXT NOT NULL, via TEXT NOT NULL,
    query TEXT NOT NULL,               -- the filter it was made from; empty: from names
    rate INTEGER NOT NULL,             -- sagas a second
    first INTEGER NOT NULL,            -- still to be tried before it pauses by itself
    state TEXT NOT NULL,               -- collecting -> running <-> paused -> done | cancelled
    total INTEGER NOT NULL,
    created_us INTEGER NOT NULL,
    place TEXT NOT NULL,               -- where collecting goes on
    sent_us INTEGER NOT NULL,          -- when the last one was told
    ended_us INTEGER NOT NULL          -- 0 while there is something to tell or to watch
);
CREATE INDEX bulk_active ON bulk (number) WHERE ended_us = 0;
CREATE INDEX bulk_ended ON bulk (ended_us) WHERE ended_us > 0;

-- Its sagas, as they were when it was made.
CREATE TABLE bulk_items (
    operation INTEGER NOT NULL, n INTEGER NOT NULL,
    saga INTEGER NOT NULL,             -- the saga's row in the orchestrator's database
    saga_id TEXT NOT NULL, key TEXT NOT NULL,
    version INTEGER,                   -- that was seen; null: whatever it is, for a retry
    attempt INTEGER NOT NULL,
    state TEXT NOT NULL,               -- pending -> requested -> progressed | failed_again |
                                       -- unchanged | refused; skipped
    detail TEXT NOT NULL,
    PRIMARY KEY (operation, n)
) WITHOUT ROWID;
CREATE INDEX bulk_items_in ON bulk_items (operation, state, n);
