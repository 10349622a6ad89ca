-- name: sagas.load
SELECT sagas.id, sagas.saga_id, sagas.definition, sagas.definition_version, keys.name,
    saga_data.data, sagas.phase, sagas.paused, sagas.steps, sagas.version, sagas.start_id,
    sagas.start_digest, sagas.cancellations, sagas.reason, sagas.detail, sagas.attention,
    sagas.attentions, sagas.started_us, sagas.updated_us
FROM sagas JOIN keys ON keys.id = sagas.key JOIN saga_data ON saga_data.saga = sagas.id
WHERE sagas.key IN :keys

-- name: sagas.last
SELECT coalesce(max(id), 0) FROM sagas

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
