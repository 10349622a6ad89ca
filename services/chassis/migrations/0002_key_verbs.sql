-- What operators told keys that are parked, and what became of the records that waited.

ALTER TABLE dead_letters ADD COLUMN failures INTEGER NOT NULL DEFAULT 0; -- tries by hand, failed alike
ALTER TABLE dead_letters ADD COLUMN release TEXT NOT NULL DEFAULT '';    -- which failed at it last
ALTER TABLE dead_letters ADD COLUMN became TEXT NOT NULL DEFAULT '';     -- applied, duplicate, rejected ...
ALTER TABLE dead_letters ADD COLUMN settled_by TEXT NOT NULL DEFAULT ''; -- the verb, if it was one

CREATE TABLE key_verbs (
    id TEXT PRIMARY KEY,
    key INTEGER NOT NULL,
    verb TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
    record INTEGER,               -- the one dead letter that was named
    result TEXT NOT NULL,         -- going_on -> applied | failed_again; or why it was refused
    detail TEXT NOT NULL,
    applied INTEGER NOT NULL,     -- records that wait no more
    resumed INTEGER NOT NULL,     -- starts of the process since it was told
    at_us INTEGER NOT NULL
);
CREATE INDEX key_verbs_of_key ON key_verbs (key);
CREATE INDEX key_verbs_going_on ON key_verbs (key) WHERE result = 'going_on';
CREATE INDEX key_verbs_age ON key_verbs (at_us);
CREATE INDEX dead_letters_of_key ON dead_letters (key, seq);
