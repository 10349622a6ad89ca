-- name: meta.all
SELECT name, value FROM meta

-- name: meta.put
INSERT INTO meta (name, value) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: offsets.all
SELECT topic, partition, next FROM offsets

-- name: offsets.begin
-- A partition never seen before is read from its log's beginning, never from its end.
INSERT INTO offsets (topic, partition, next) VALUES (?, ?, ?)
ON CONFLICT (topic, partition) DO NOTHING

-- name: offsets.identify
UPDATE offsets SET topic_id = ? WHERE topic = ? AND topic_id = ''

-- name: offsets.ids
SELECT topic, partition, next, topic_id FROM offsets

-- name: offsets.advance
-- The compare-and-set that fences a former owner: new next, topic, partition, believed next.
UPDATE offsets SET next = ? WHERE topic = ? AND partition = ? AND next = ?

-- name: keys.lock
-- With many writers all transactions about a business key wait for each other here, before they
-- read anything of it; in one order.
-- on postgres
SELECT id FROM keys WHERE name IN :keys ORDER BY name FOR UPDATE

-- name: keys.find
-- The integer of each name, and the same again where the key is parked.
SELECT keys.name, keys.id, parked_keys.key
FROM keys LEFT JOIN parked_keys ON parked_keys.key = keys.id WHERE keys.name IN :keys

-- name: keys.add
INSERT INTO keys (name) VALUES (?) ON CONFLICT (name) DO NOTHING

-- name: inbox.seen
SELECT inbox.key, inbox.source, inbox.id
FROM :pairs AS wanted
CROSS JOIN inbox ON inbox.key = CAST(wanted.value ->> 0 AS BIGINT)
    AND inbox.source = wanted.value ->> 1 AND inbox.id = wanted.value ->> 2

-- name: inbox.add
INSERT INTO inbox (key, source, id, at_us) VALUES (?, ?, ?, ?)

-- name: inbox.sweep
-- Retention, a slice of keys at a time: before, from key, to key.
DELETE FROM inbox WHERE at_us < ? AND key BETWEEN ? AND ?

-- name: keys.last
SELECT coalesce(max(id), 0) FROM keys

-- name: outbox.last
SELECT coalesce(max(seq), 0) FROM outbox

-- name: outbox.number
-- One number for each of :list. They rise in the order of commits: in all, where there is one
-- writer; else for each key, because its rows are locked by now.
SELECT (SELECT coalesce(max(seq), 0) FROM outbox) + wanted.value FROM :list AS wanted
-- on postgres
SELECT nextval(pg_get_serial_sequence('outbox', 'seq')) FROM :list AS wanted

-- name: outbox.behind
-- What is still unsent of these record keys, and perhaps another process's to send.
-- on postgres
SELECT seq FROM outbox WHERE record_key IN :keys AND sent_us IS NULL

-- name: outbox.add
INSERT INTO outbox (seq, key, id, attempt, topic, record_key, value, headers, made_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: outbox.unsent
-- Number and bytes of each; thousands of whole rows would be gigabytes.
SELECT seq, length(value) + length(headers) FROM outbox
WHERE sent_us IS NULL AND blocked IS NULL AND record_key NOT IN :keys ORDER BY seq LIMIT ?

-- name: outbox.rows
SELECT seq, topic, record_key, id, value, headers, attempt FROM outbox
WHERE seq IN :keys ORDER BY seq

-- name: outbox.blocked
-- Whose keys wait. Nobody waits for a copy on a dead letter topic: each says all by itself.
SELECT seq, record_key, blocked FROM outbox
WHERE sent_us IS NULL AND blocked IS NOT NULL AND topic NOT LIKE '%.dlt'

-- name: outbox.sent
UPDATE outbox SET sent_us = ? WHERE seq = ? AND sent_us IS NULL

-- name: outbox.block
UPDATE outbox SET blocked = ? WHERE seq = ?

-- name: outbox.waiting
-- Which of these messages are still unsent: the timers of their replies do not count yet.
-- By key and id: there may be as many unsent ones as an outage is long.
SELECT outbox.id FROM :pairs AS wanted
CROSS JOIN outbox ON outbox.key = CAST(wanted.value ->> 0 AS BIGINT) AND outbox.id = wanted.value ->> 1
WHERE outbox.sent_us IS NULL

-- name: outbox.backlog
-- For metrics, every two seconds: beyond so many the exact number tells nobody more.
SELECT (SELECT count(*) FROM (SELECT 1 FROM outbox WHERE sent_us IS NULL LIMIT 100000) AS bounded)
        AS pending,
    (SELECT made_us FROM outbox WHERE sent_us IS NULL ORDER BY seq LIMIT 1) AS oldest_us

-- name: outbox.old
SELECT count(*) FROM (SELECT sent_us FROM outbox WHERE seq < ? ORDER BY seq LIMIT 2000) AS bounded
WHERE sent_us < ?

-- name: outbox.sweep
-- The oldest slice. Never the last row: the next number is one more than its.
DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE seq < ? ORDER BY seq LIMIT 2000)
    AND sent_us < ?

-- name: timers.set
INSERT INTO timers (key, name, partition, due_us, interval_us, awaits, message_id)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key, name) DO UPDATE SET partition = excluded.partition, due_us = excluded.due_us,
    held_us = NULL, interval_us = excluded.interval_us, awaits = excluded.awaits,
    message_id = excluded.message_id

-- name: timers.clear
DELETE FROM timers WHERE key = ? AND name = ?

-- name: timers.due
SELECT timers.key, keys.name, timers.name, timers.due_us, timers.interval_us, timers.awaits,
    timers.message_id
FROM timers JOIN keys ON keys.id = timers.key
WHERE timers.partition = ? AND timers.due_us <= ? ORDER BY timers.due_us LIMIT ?

-- name: timers.next
-- The earliest of each partition, one index look-up apiece.
SELECT wanted.value,
    (SELECT min(due_us) FROM timers WHERE partition = wanted.value AND due_us IS NOT NULL)
FROM :list AS wanted

-- name: timers.take
-- Firing deletes the row as it was read: two owners cannot both succeed.
DELETE FROM timers WHERE key = ? AND name = ? AND due_us = ?

-- name: timers.grant
-- Time in which we could not hear, or the other side could not, is not the other side's.
UPDATE timers SET due_us = ? + interval_us WHERE partition = ? AND due_us <= ?

-- name: timers.grant_awaiting
UPDATE timers SET due_us = ? + interval_us
WHERE partition = ? AND awaits = ? AND due_us <= ? + interval_us

-- name: timers.hold
UPDATE timers SET held_us = CASE WHEN due_us > ?1 THEN due_us - ?1 ELSE 0 END, due_us = NULL
WHERE key = ?2 AND due_us IS NOT NULL

-- name: operations.load
SELECT operations.key, operations.source, operations.operation, operations.partition,
    operations.status, operations.reply, operations.undo_reply, operations.call,
    operations.undo_waits, operations.said, operations.version
FROM :pairs AS wanted
CROSS JOIN operations ON operations.key = CAST(wanted.value ->> 0 AS BIGINT)
    AND operations.source = wanted.value ->> 1 AND operations.operation = wanted.value ->> 2

-- name: operations.add
INSERT INTO operations (status, reply, undo_reply, call, undo_waits, said, partition,
    key, source, operation, version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)

-- name: operations.save
UPDATE operations SET status = ?, reply = ?, undo_reply = ?, call = ?, undo_waits = ?,
    said = ?, partition = ?, version = version + 1
WHERE key = ? AND source = ? AND operation = ? AND version = ?

-- name: operations.calling
SELECT keys.name, operations.source, operations.operation, operations.status, operations.call
FROM operations JOIN keys ON keys.id = operations.key
WHERE operations.status IN ('calling', 'undo_calling') AND operations.partition IN :keys

-- name: parked.all
SELECT keys.name, parked_keys.reason, parked_keys.detail, parked_keys.since_us
FROM parked_keys JOIN keys ON keys.id = parked_keys.key ORDER BY parked_keys.since_us

-- name: parked.count
SELECT count(*) AS n FROM parked_keys

-- name: parked.add
INSERT INTO parked_keys (key, reason, detail, since_us) VALUES (?, ?, ?, ?)

-- name: dead.add
-- Nobody waits for a rejected one: it is settled at its birth.
INSERT INTO dead_letters (key, kind, reason, detail, stage, topic, partition, "offset",
    timestamp_ms, record_key, value, headers, at_us, state)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
    CASE ?2 WHEN 'rejected' THEN 'rejected' ELSE 'open' END)

-- name: dead.pending
SELECT topic, count(*) AS n FROM dead_letters WHERE state = 'open' GROUP BY topic

-- name: dead.settled
SELECT seq FROM dead_letters WHERE state <> 'open' AND at_us < ? ORDER BY at_us LIMIT ?

-- name: dead.forget
DELETE FROM dead_letters WHERE seq = ?

-- name: attempts.begin
INSERT INTO attempts (topic, partition, "offset", tries) VALUES (?, ?, ?, 1)
ON CONFLICT (topic, partition, "offset") DO UPDATE SET tries = attempts.tries + 1

-- name: attempts.of
SELECT tries FROM attempts WHERE topic = ? AND partition = ? AND "offset" = ?

-- name: attempts.forget
DELETE FROM attempts WHERE topic = ? AND partition = ? AND "offset" < ?

-- name: attempts.sweep
DELETE FROM attempts WHERE "offset" < (SELECT next FROM offsets
    WHERE offsets.topic = attempts.topic AND offsets.partition = attempts.partition)

-- name: spoken.any
SELECT 1 FROM spoken LIMIT 1

-- name: spoken.of
SELECT spoken.id, spoken.topic, keys.name, spoken.message
FROM spoken JOIN keys ON keys.id = spoken.key WHERE spoken.key IN :keys

-- name: spoken.keys
SELECT DISTINCT key FROM spoken ORDER BY key

-- name: spoken.add
-- The first copy in the log is the one that was heard first.
INSERT INTO spoken (key, id, topic, message, at_us) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (key, id) DO NOTHING

-- name: spoken.sweep
DELETE FROM spoken WHERE at_us < ?

-- name: repairs.add
INSERT INTO repairs (at_us, what, detail, actor, reason) VALUES (?, ?, ?, ?, ?)

-- name: outbox.said
-- What was sent since, a slice by number.
SELECT seq, topic, record_key FROM outbox WHERE seq > ? AND sent_us >= ? ORDER BY seq LIMIT ?

-- name: outbox.unsend
UPDATE outbox SET sent_us = NULL WHERE seq = ?

-- name: outbox.last_made
SELECT made_us FROM outbox ORDER BY seq DESC LIMIT 1

-- name: offsets.accept
UPDATE offsets SET next = ?, topic_id = '' WHERE topic = ? AND partition = ? AND next = ?
