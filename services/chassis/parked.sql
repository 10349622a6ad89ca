-- name: letters.waiting
-- What a parked key holds up, in the order in which it came.
SELECT seq, stage, topic, partition, "offset", timestamp_ms, record_key, value, headers
FROM dead_letters WHERE key = ? AND state = 'open' ORDER BY seq LIMIT ?

-- name: letters.first
SELECT seq, reason, stage, failures, release FROM dead_letters
WHERE key = ? AND state = 'open' ORDER BY seq LIMIT 1

-- name: letters.one
SELECT seq, reason, stage, state, topic, partition, "offset",
    timestamp_ms, record_key, value, headers
FROM dead_letters WHERE key = ? AND seq = ?

-- name: letters.close
-- state, became, the verb if it was one, seq
UPDATE dead_letters SET state = ?, became = ?, settled_by = ? WHERE seq = ? AND state = 'open'

-- name: letters.fail
-- The first that waits failed again. Tries count only while reason, detail and release are alike.
UPDATE dead_letters SET kind = 'parked',
    failures = CASE WHEN reason = ? AND detail = ? AND release = ? THEN failures ELSE 0 END + ?,
    reason = ?, detail = ?, stage = ?, release = ?
WHERE seq = ? AND state = 'open'

-- name: letters.reopen
UPDATE dead_letters SET state = 'open', kind = 'parked' WHERE seq = ? AND state = 'rejected'

-- name: letters.unrecorded
-- Results of calls that wait to be recorded: their calls are not made again.
SELECT keys.name, dead_letters.headers FROM dead_letters JOIN keys ON keys.id = dead_letters.key
WHERE dead_letters.state = 'open' AND dead_letters.stage = 'record'

-- name: parked.because
UPDATE parked_keys SET reason = ?, detail = ? WHERE key = ?

-- name: parked.remove
DELETE FROM parked_keys WHERE key = ?

-- name: timers.resume
UPDATE timers SET due_us = held_us + ?, held_us = NULL WHERE key = ? AND due_us IS NULL

-- name: verbs.add
INSERT INTO key_verbs (id, key, verb, actor, reason, record, result, detail, applied, resumed, at_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)

-- name: verbs.going_on
SELECT id FROM key_verbs WHERE key = ? AND result = 'going_on'

-- name: verbs.progress
-- More records that wait no more, and what became of the verb.
UPDATE key_verbs SET applied = applied + ?, result = ?, detail = ? WHERE id = ?

-- name: verbs.unfinished
SELECT keys.name FROM key_verbs JOIN keys ON keys.id = key_verbs.key
WHERE key_verbs.result = 'going_on' ORDER BY key_verbs.at_us

-- name: verbs.resume
-- At a start. One that ended the process again and again is given up.
UPDATE key_verbs SET resumed = resumed + 1,
    result = CASE WHEN resumed >= ? THEN 'failed_again' ELSE result END,
    detail = CASE WHEN resumed >= ? THEN 'killed_process: it ended the process' ELSE detail END
WHERE result = 'going_on'

-- name: verbs.old
SELECT id FROM key_verbs WHERE at_us < ? AND result <> 'going_on' ORDER BY at_us LIMIT ?

-- name: verbs.forget
DELETE FROM key_verbs WHERE id = ?

-- name: surface.parked
-- Parked keys, each with the first record that waits, if one does.
SELECT keys.name AS key, parked_keys.reason, parked_keys.detail, parked_keys.since_us,
    (SELECT count(*) FROM dead_letters AS behind
        WHERE behind.key = parked_keys.key AND behind.state = 'open') AS waiting,
    letter.seq AS record, coalesce(letter.topic, '') AS topic, letter.failures, letter.headers
FROM parked_keys JOIN keys ON keys.id = parked_keys.key
LEFT JOIN dead_letters AS letter ON letter.seq = (SELECT min(seq) FROM dead_letters AS behind
    WHERE behind.key = parked_keys.key AND behind.state = 'open')
WHERE (:key = '' OR keys.name = :key) AND (:reason = '' OR parked_keys.reason = :reason)
    AND (:topic = '' OR letter.topic = :topic)
ORDER BY parked_keys.since_us, keys.name LIMIT :limit

-- name: surface.rejected
-- Records that were rejected, newest first.
SELECT keys.name AS key, dead_letters.reason, dead_letters.detail, at_us AS since_us, 0 AS waiting,
    seq AS record, topic, failures, headers
FROM dead_letters JOIN keys ON keys.id = dead_letters.key
WHERE state <> 'open' AND state = 'rejected' AND (:key = '' OR keys.name = :key)
    AND (:reason = '' OR dead_letters.reason = :reason) AND (:topic = '' OR topic = :topic)
ORDER BY at_us DESC, seq DESC LIMIT :limit

-- name: surface.key
SELECT parked_keys.reason, parked_keys.detail, parked_keys.since_us
FROM keys JOIN parked_keys ON parked_keys.key = keys.id WHERE keys.name = :key

-- name: surface.letters
SELECT dead_letters.* FROM keys JOIN dead_letters ON dead_letters.key = keys.id
WHERE keys.name = :key ORDER BY seq DESC LIMIT :limit

-- name: surface.verbs
SELECT key_verbs.*, keys.name AS key_name FROM keys JOIN key_verbs ON key_verbs.key = keys.id
WHERE keys.name = :key ORDER BY at_us DESC LIMIT :limit

-- name: surface.verb
SELECT key_verbs.*, keys.name AS key_name FROM key_verbs JOIN keys ON keys.id = key_verbs.key
WHERE key_verbs.id = :id

-- name: rehearsal.verb
SELECT result, detail, applied FROM key_verbs WHERE id = ?

-- name: rehearsal.letters
SELECT seq, topic, dead_letters."offset", headers, state, became, reason, detail, count(*) OVER ()
FROM dead_letters JOIN keys ON keys.id = dead_letters.key
WHERE keys.name = ? AND (state = 'open' OR settled_by = ?) ORDER BY seq LIMIT ?
