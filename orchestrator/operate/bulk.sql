-- Bulk operations in the console's own database.

-- name: operations.add
INSERT INTO bulk (id, request, verb, step, evidence, assignee, reason, actor, via, query,
    rate, first, seen, state, total, created_us, place, sent_us, ended_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'collecting', 0, ?, '', 0, 0)
ON CONFLICT (request) DO NOTHING

-- name: operations.of_request
SELECT * FROM bulk WHERE request = :request

-- name: operations.one
SELECT * FROM bulk WHERE id = :id

-- name: operations.number
SELECT number FROM bulk WHERE id = ?

-- name: operations.active
-- The paused ones or the others, from a place on: those that wait for a person keep nobody waiting.
SELECT * FROM bulk INDEXED BY bulk_active
WHERE ended_us = 0 AND (state = 'paused') = :paused AND number > :after
ORDER BY number LIMIT :limit

-- name: operations.page
SELECT * FROM bulk WHERE number < :before ORDER BY number DESC LIMIT :limit

-- name: operations.counts
SELECT state, count(*) AS count FROM bulk_items WHERE operation = :operation GROUP BY state

-- name: operations.collected
-- Only while it still is collecting: it may have been cancelled meanwhile.
UPDATE bulk SET total = ?, place = ?, state = ? WHERE number = ? AND state = 'collecting'

-- name: operations.sent
-- How many more are told, and when. It pauses by itself after those that were to be tried first,
-- if any are left.
UPDATE bulk SET sent_us = ?, first = max(0, first - ?),
    state = CASE WHEN state = 'running' AND first BETWEEN 1 AND ?
        AND EXISTS (SELECT 1 FROM bulk_items WHERE operation = bulk.number AND state = 'pending')
        THEN 'paused' ELSE state END
WHERE number = ?

-- name: operations.cancel
UPDATE bulk SET state = 'cancelled'
WHERE id = ? AND state IN ('collecting', 'running', 'paused')

-- name: operations.resume
UPDATE bulk SET state = 'running', first = 0 WHERE id = ? AND state = 'paused'

-- name: operations.again
-- Whatever had ended may be tried again.
UPDATE bulk SET state = 'running', first = 0, ended_us = 0 WHERE id = ?
    AND state IN ('done', 'cancelled')

-- name: operations.end
-- Not when it was told meanwhile to try some again.
UPDATE bulk SET ended_us = ?,
    state = CASE WHEN state IN ('running', 'paused') THEN 'done' ELSE state END
WHERE number = ? AND ended_us = 0
    AND NOT EXISTS (SELECT 1 FROM bulk_items WHERE operation = bulk.number AND state = 'pending')

-- name: operations.old
SELECT number FROM bulk WHERE ended_us > 0 AND ended_us < :before ORDER BY ended_us LIMIT 1

-- name: operations.forget
DELETE FROM bulk WHERE number = ?
    AND NOT EXISTS (SELECT 1 FROM bulk_items WHERE operation = bulk.number)

-- name: items.forget
DELETE FROM bulk_items WHERE operation = ? AND n IN
    (SELECT n FROM bulk_items WHERE operation = ? ORDER BY n LIMIT 5000)

-- name: items.add
INSERT INTO bulk_items (operation, n, saga, saga_id, key, version, attempt, state, detail)
VALUES (?, ?, ?, ?, ?, ?, 1, 'pending', '')

-- name: items.page
SELECT * FROM bulk_items WHERE operation = :operation AND n > :after ORDER BY n LIMIT :limit

-- name: items.in
SELECT * FROM bulk_items INDEXED BY bulk_items_in
WHERE operation = :operation AND state = :state AND n > :after ORDER BY n LIMIT :limit

-- name: items.set
-- Only what still is as it was looked at: it may have been skipped, or be tried again, meanwhile.
UPDATE bulk_items SET state = ?, detail = ?
WHERE operation = ? AND n = ? AND attempt = ? AND state = ?

-- name: items.skip
UPDATE bulk_items SET state = 'skipped', detail = ?
WHERE operation = (SELECT number FROM bulk WHERE id = ?) AND state = 'pending'

-- name: items.again
UPDATE bulk_items SET state = 'pending', detail = '', attempt = attempt + 1, version = NULL
WHERE operation = (SELECT number FROM bulk WHERE id = ?)
    AND state IN ('failed_again', 'unchanged', 'refused')

-- name: items.lost
UPDATE bulk_items SET state = 'unchanged', detail = 'not taken'
WHERE operation = ? AND state IN ('telling', 'requested')
