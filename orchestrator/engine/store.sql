-- name: sagas.load
SELECT sagas.id, sagas.saga_id, sagas.definition, sagas.definition_version, keys.name,
    saga_data.data, sagas.phase, sagas.paused, sagas.steps, sagas.version, sagas.start_id,
    sagas.start_digest, sagas.cancellations, sagas.reason, sagas.detail, sagas.attention,
    sagas.attentions, sagas.started_us, sagas.updated_us
FROM sagas JOIN keys ON keys.id = sagas.key JOIN saga_data ON saga_data.saga = sagas.id
WHERE sagas.key IN :keys

-- name: sagas.number
-- One number for each of :list.
SELECT (SELECT coalesce(max(id), 0) FROM sagas) + wanted.value FROM :list AS wanted
-- on postgres
SELECT nextval(pg_get_serial_sequence('sagas', 'id')) FROM :list AS wanted

-- name: sagas.add
INSERT INTO sagas (phase, paused, steps, version, start_id, start_digest, cancellations, reason,
    detail, attention, attentions, started_us, updated_us,
    id, key, saga_id, definition, definition_version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: sagas.save
UPDATE sagas SET phase = ?, paused = ?, steps = ?, version = ?, start_id = ?, start_digest = ?,
    cancellations = ?, reason = ?, detail = ?, attention = ?, attentions = ?, started_us = ?,
    updated_us = ?
WHERE id = ? AND version = ?

-- name: data.put
INSERT INTO saga_data (saga, data) VALUES (?, ?)
ON CONFLICT (saga) DO UPDATE SET data = excluded.data

-- name: made.add
INSERT INTO made (saga, name, topic, message) VALUES (?, ?, ?, ?)

-- name: made.find
SELECT topic, message FROM made WHERE saga = ? AND name = ?

-- name: journal.add
INSERT INTO journal (saga, version, at_us, what, result, from_state, to_state, step, detail,
    actor, evidence, cause_id, cause_source, cause_type, sent)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: verbs.add
INSERT INTO operator_verbs (id, saga_id, verb, actor, reason, result, version_before,
    version_after, at_us)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING

-- name: assignments.put
INSERT INTO assignments (saga, assignee, actor, reason, at_us) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (saga) DO UPDATE SET assignee = excluded.assignee, actor = excluded.actor,
    reason = excluded.reason, at_us = excluded.at_us

-- name: assignments.end
DELETE FROM assignments WHERE saga = ?

-- name: sagas.ended
-- Never the last one: the next number is one more than its.
SELECT id FROM sagas INDEXED BY sagas_finished
WHERE phase IN ('completed', 'compensated') AND updated_us < ?
    AND id < (SELECT max(id) FROM sagas)
ORDER BY updated_us LIMIT ?

-- name: sagas.forget
DELETE FROM sagas WHERE id = ?

-- name: data.forget
DELETE FROM saga_data WHERE saga = ?

-- name: made.forget
DELETE FROM made WHERE saga = ?

-- name: journal.forget
-- After its saga: the journal of one that has a row cannot be deleted.
DELETE FROM journal WHERE saga = ?

-- name: verbs.old
SELECT id FROM (SELECT id, at_us FROM operator_verbs ORDER BY rowid LIMIT ?) WHERE at_us < ?
-- on postgres
SELECT id FROM (SELECT id, at_us FROM operator_verbs ORDER BY at_us LIMIT ?) AS old WHERE at_us < ?

-- name: verbs.forget
DELETE FROM operator_verbs WHERE id = ?

-- name: sagas.open
-- A page of what is not finished, oldest first, after (:us, :id). `timers`: of its key.
SELECT sagas.id, sagas.definition, sagas.definition_version, sagas.phase, sagas.paused,
    sagas.steps, sagas.started_us, parked_keys.key AS parked,
    coalesce((SELECT json_group_object(timers.name, timers.due_us) FROM timers
        WHERE timers.key = sagas.key), '{}') AS timers
FROM sagas INDEXED BY sagas_open LEFT JOIN parked_keys ON parked_keys.key = sagas.key
WHERE sagas.phase NOT IN ('completed', 'compensated')
    AND (sagas.started_us, sagas.id) > (:us, :id)
ORDER BY sagas.started_us, sagas.id LIMIT :limit

-- name: parked.alone
-- Keys that wait for a person although no saga of theirs is open: perhaps its start is parked.
SELECT count(*) AS n FROM parked_keys WHERE NOT EXISTS (SELECT 1 FROM sagas
    WHERE sagas.key = parked_keys.key AND sagas.phase NOT IN ('completed', 'compensated'))
