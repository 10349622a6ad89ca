-- The overview's numbers of the last day and an hour: a ring, so that it never grows.
CREATE TABLE samples (
    slot INTEGER PRIMARY KEY,          -- the moment in steps of 15 s, modulo their number
    at_us INTEGER NOT NULL,
    open INTEGER NOT NULL, started INTEGER NOT NULL,
    completed INTEGER NOT NULL, compensated INTEGER NOT NULL,
    stuck INTEGER NOT NULL, severe INTEGER NOT NULL,
    oldest_open_s INTEGER NOT NULL, oldest_stuck_s INTEGER NOT NULL
);
