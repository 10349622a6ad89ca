-- Filters of the list of sagas that somebody gave a name, to have them beside the built-in ones.
-- No more than saved_views.VIEWS_MAX each, so they stay until who made them takes them away.
CREATE TABLE views (
    actor TEXT NOT NULL, name TEXT NOT NULL,
    query TEXT NOT NULL,               -- as the page's filter is written
    at_us INTEGER NOT NULL,
    PRIMARY KEY (actor, name)
) WITHOUT ROWID;
