-- Saved views in the console's own database.

-- name: views.of
SELECT name, query FROM views WHERE actor = :actor ORDER BY name LIMIT :limit

-- name: views.others
-- How many an actor has beside the one of this name.
SELECT count(*) FROM views WHERE actor = ? AND name <> ?

-- name: views.keep
INSERT INTO views (actor, name, query, at_us) VALUES (?, ?, ?, ?)
ON CONFLICT (actor, name) DO UPDATE SET query = excluded.query, at_us = excluded.at_us

-- name: views.drop
DELETE FROM views WHERE actor = ? AND name = ?
