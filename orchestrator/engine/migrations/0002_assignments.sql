-- Whose a saga is now: one row while it is somebody's, written with the verb that says so.
CREATE TABLE assignments (
    saga INTEGER PRIMARY KEY, assignee TEXT NOT NULL,
    actor TEXT NOT NULL, reason TEXT NOT NULL, at_us INTEGER NOT NULL
);
