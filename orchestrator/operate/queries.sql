-- What the console reads of the orchestrator's database, on SQLite and on PostgreSQL. Every query
-- goes by an index and is bounded by :limit or by what is open, so none grows with history. Lists
-- are JSON texts, and what json_each makes of them are texts. A parameter that may be NULL, and one
-- that nothing gives a type, is CAST.

-- name: ids.of_key
-- The sagas of one business key, newest first; a handful at most.
SELECT sagas.id, sagas.started_us FROM keys JOIN sagas ON sagas.key = keys.id
WHERE keys.name = :key ORDER BY sagas.id DESC

-- name: ids.open
-- A page of what is not finished, newest first, from the one before (:us, :id).
SELECT id, started_us FROM sagas INDEXED BY sagas_open
WHERE phase NOT IN ('completed', 'compensated') AND (started_us, id) < (:us, :id)
ORDER BY started_us DESC, id DESC LIMIT :limit

-- name: ids.all
-- A page of all of these phases among the :window rows before :id, newest first. What is open
-- may be wanted for why it is stuck, which its row does not say.
SELECT id, started_us FROM sagas
WHERE id < :id AND id >= :id - :window
    AND phase IN (SELECT value FROM json_each(:phases))
    AND started_us >= :began AND started_us < :before
    AND (CAST(:definitions AS TEXT) IS NULL OR definition IN (SELECT value FROM json_each(:definitions)))
    AND (CAST(:reasons AS TEXT) IS NULL OR reason IN (SELECT value FROM json_each(:reasons))
        OR phase NOT IN ('completed', 'compensated'))
ORDER BY id DESC LIMIT :limit

-- name: ids.newer
SELECT id, started_us FROM sagas WHERE id > :after ORDER BY id DESC LIMIT :limit

-- name: ids.at
-- The first saga from this place on.
SELECT id, started_us FROM sagas WHERE id >= :id ORDER BY id LIMIT 1

-- name: ids.last
SELECT coalesce(max(id), 0) AS id FROM sagas

-- name: ids.suspect
-- What may be stuck: asked to wait, parked, of another release, or open for longer than the
-- shortest patience of any step. Oldest first, because there may be more than :limit.
SELECT id, started_us FROM sagas INDEXED BY sagas_open
WHERE phase NOT IN ('completed', 'compensated')
    AND (started_us <= :before OR paused <> 0 OR phase = 'needs_operator'
        OR key IN (SELECT key FROM parked_keys)
        OR definition || ' ' || definition_version NOT IN
            (SELECT value FROM json_each(:definitions)))
ORDER BY started_us, id LIMIT :limit

-- name: sagas.rows
-- timers: those of this saga, by name. parked: why its key waits.
SELECT sagas.id, sagas.saga_id, sagas.definition, sagas.definition_version, keys.name AS key,
    sagas.phase, sagas.paused, sagas.steps, sagas.version, sagas.cancellations, sagas.reason,
    sagas.detail, sagas.attention, sagas.attentions, sagas.started_us, sagas.updated_us,
    coalesce((SELECT json_group_object(timers.name, timers.due_us) FROM timers
        WHERE timers.key = sagas.key), '{}') AS timers,
    parked_keys.reason AS parked, parked_keys.detail AS parked_detail,
    parked_keys.since_us AS parked_us, assignments.assignee, assignments.reason AS note
FROM json_each(:ids) AS wanted CROSS JOIN sagas ON sagas.id = CAST(wanted.value AS BIGINT)
JOIN keys ON keys.id = sagas.key LEFT JOIN parked_keys ON parked_keys.key = sagas.key
LEFT JOIN assignments ON assignments.saga = sagas.id

-- name: keys.near
-- What a mistyped key may have meant: the first ones that begin alike.
SELECT name FROM keys WHERE name >= :from AND name < :upto ORDER BY name LIMIT :limit

-- name: keys.parked
-- Parked keys that no open saga speaks for: a start that could not be applied, a late record.
SELECT keys.name AS key, parked_keys.reason, parked_keys.detail, parked_keys.since_us
FROM parked_keys JOIN keys ON keys.id = parked_keys.key
WHERE NOT EXISTS (SELECT 1 FROM sagas WHERE sagas.key = parked_keys.key
    AND sagas.phase NOT IN ('completed', 'compensated'))
ORDER BY parked_keys.since_us LIMIT :limit

-- name: journal.of_saga
SELECT journal.*, sagas.saga_id FROM journal JOIN sagas ON sagas.id = journal.saga
WHERE journal.saga = :saga AND journal.seq > :after ORDER BY journal.seq LIMIT :limit

-- name: journal.before
-- The last lines of a saga before this one, the newest first.
SELECT journal.*, sagas.saga_id FROM journal JOIN sagas ON sagas.id = journal.saga
WHERE journal.saga = :saga AND journal.seq < :before ORDER BY journal.seq DESC LIMIT :limit

-- name: journal.since
-- What happened to any saga, in order.
SELECT journal.*, sagas.saga_id FROM journal JOIN sagas ON sagas.id = journal.saga
WHERE journal.seq > :after ORDER BY journal.seq LIMIT :limit

-- name: journal.sampled
-- What some sagas sent and were answered, each in order.
SELECT journal.saga, journal.at_us, journal.what, journal.result, journal.step, journal.sent,
    sagas.definition, sagas.definition_version
FROM json_each(:ids) AS wanted CROSS JOIN sagas ON sagas.id = CAST(wanted.value AS BIGINT)
JOIN journal ON journal.saga = sagas.id
ORDER BY journal.saga, journal.seq LIMIT :limit

-- name: journal.moves
-- Changes of state among the last :window lines, of a definition and not before :since.
SELECT journal.from_state, journal.to_state, count(*) AS count
FROM journal JOIN sagas ON sagas.id = journal.saga
WHERE journal.seq > (SELECT coalesce(max(seq), 0) FROM journal) - :window
    AND journal.at_us >= :since AND journal.from_state <> journal.to_state
    AND sagas.definition = :definition
GROUP BY journal.from_state, journal.to_state ORDER BY journal.from_state, journal.to_state

-- name: journal.notable
-- Of the last :window lines: a saga ended without success or stopped, or a person said something.
SELECT journal.*, sagas.saga_id, sagas.reason AS why FROM journal JOIN sagas ON sagas.id = journal.saga
WHERE journal.seq > (SELECT coalesce(max(seq), 0) FROM journal) - :window
    AND (substr(journal.what, 1, 5) = 'verb_' OR (journal.to_state <> journal.from_state
        AND journal.to_state IN ('compensated', 'needs_operator')))
ORDER BY journal.seq DESC LIMIT :limit

-- name: journal.last
SELECT coalesce(max(seq), 0) AS seq FROM journal

-- name: journal.ahead
-- The last line that can be seen; transactions from `following` on began after it was looked at,
-- and those before `oldest` have ended. One writer gives a line its number and commits it.
SELECT coalesce(max(seq), 0) AS seq, 0 AS following, 0 AS oldest FROM journal
-- on postgres
SELECT coalesce(max(seq), 0) AS seq,
    CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT) AS following,
    CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT) AS oldest
FROM journal

-- name: counts.open
SELECT definition, phase, reason, count(*) AS count, min(started_us) AS oldest_us
FROM sagas INDEXED BY sagas_open WHERE phase NOT IN ('completed', 'compensated')
GROUP BY definition, phase, reason ORDER BY definition, phase, reason

-- name: counts.finished_since
-- What finished, or was touched again, after (:us, :id).
SELECT id, definition, phase, reason, updated_us FROM sagas INDEXED BY sagas_finished
WHERE phase IN ('completed', 'compensated') AND (updated_us, id) > (:us, :id)
ORDER BY updated_us, id LIMIT :limit

-- name: topics.read
-- How far the orchestrator has applied each topic that it reads.
SELECT topic, count(*) AS partitions, sum(next) AS applied FROM offsets
GROUP BY topic ORDER BY topic

-- name: topics.dead
SELECT topic, count(*) AS open FROM dead_letters WHERE state = 'open'
GROUP BY topic ORDER BY topic
