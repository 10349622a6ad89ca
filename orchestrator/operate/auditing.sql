-- The audit in the console's own database.

-- name: audit.last
SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1

-- name: audit.add
INSERT INTO audit (seq, at_us, actor, via, action, target, reason, request, result, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: audit.page
-- Newest first, before :before.
SELECT * FROM audit WHERE seq < :before ORDER BY seq DESC LIMIT :limit

-- name: audit.of_actor
SELECT * FROM audit WHERE actor = :wanted AND seq < :before ORDER BY seq DESC LIMIT :limit

-- name: audit.of_target
SELECT * FROM audit WHERE target = :wanted AND seq < :before ORDER BY seq DESC LIMIT :limit

-- name: audit.since
-- In order, for whoever walks the whole of it.
SELECT * FROM audit WHERE seq > :after ORDER BY seq LIMIT :limit
