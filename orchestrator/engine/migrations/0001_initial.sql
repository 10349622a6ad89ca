-- The orchestrator's own truth. Everything that changes with a saga stands in one small row;
-- what never changes (made commands, journal) is only ever inserted. Times: microseconds, UTC.

CREATE TABLE sagas (
    id INTEGER PRIMARY KEY,
    key INTEGER NOT NULL,              -- keys.id of the business key
    saga_id TEXT NOT NULL,             -- <definition>:<business key>
    definition TEXT NOT NULL, definition_version INTEGER NOT NULL,
    phase TEXT NOT NULL,
    paused INTEGER NOT NULL,
    steps TEXT NOT NULL,               -- JSON, one object a step, by name
    version INTEGER NOT NULL,          -- grows by one with every change; guards every write
    start_id TEXT NOT NULL, start_digest TEXT NOT NULL,
    cancellations TEXT NOT NULL,       -- JSON
    reason TEXT NOT NULL, detail TEXT NOT NULL,
    attention TEXT NOT NULL, attentions INTEGER NOT NULL,
    started_us INTEGER NOT NULL, updated_us INTEGER NOT NULL
);
CREATE INDEX sagas_of_key ON sagas (key);
CREATE INDEX sagas_open ON sagas (started_us, id) WHERE phase NOT IN ('completed', 'compensated');
CREATE INDEX sagas_finished ON sagas (updated_us, id) WHERE phase IN ('completed', 'compensated');

-- The saga's data; written when it starts and when a kept reply is folded in.
CREATE TABLE saga_data (saga INTEGER PRIMARY KEY, data TEXT);

-- Commands as they were made: sent again, they are these bytes. name: <step>/<do or undo>.
CREATE TABLE made (
    saga INTEGER NOT NULL, name TEXT NOT NULL, topic TEXT NOT NULL, message BLOB NOT NULL,
    PRIMARY KEY (saga, name)
);

-- One line a stimulus, whatever became of it: ids and words, never a payload.
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    saga INTEGER NOT NULL, version INTEGER NOT NULL, at_us INTEGER NOT NULL,
    what TEXT NOT NULL, result TEXT NOT NULL,
    from_state TEXT NOT NULL, to_state TEXT NOT NULL,
    step TEXT NOT NULL, detail TEXT NOT NULL,
    actor TEXT NOT NULL, evidence TEXT NOT NULL,
    cause_id TEXT NOT NULL, cause_source TEXT NOT NULL, cause_type TEXT NOT NULL,
    sent TEXT NOT NULL                 -- types of what was sent, in order, separated by spaces
);
CREATE INDEX journal_of_saga ON journal (saga, seq);
CREATE TRIGGER journal_stands BEFORE UPDATE ON journal
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;
-- Only retention takes lines away, and only those of a saga that is gone.
CREATE TRIGGER journal_stays BEFORE DELETE ON journal
    WHEN EXISTS (SELECT 1 FROM sagas WHERE sagas.id = OLD.saga)
    BEGIN SELECT raise(ABORT, 'the journal is append-only'); END;

-- What became of each operator's verb.
CREATE TABLE operator_verbs (
    id TEXT PRIMARY KEY, saga_id TEXT NOT NULL, verb TEXT NOT NULL, actor TEXT NOT NULL,
    reason TEXT NOT NULL, result TEXT NOT NULL,
    version_before INTEGER NOT NULL, version_after INTEGER NOT NULL, at_us INTEGER NOT NULL
);
