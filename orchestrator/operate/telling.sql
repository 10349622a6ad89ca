-- What the console reads before and after it tells a saga something. Bounded by one saga, or by
-- the list that is given.

-- name: saga.whole
-- One saga as the engine loads it: the columns of its `sagas.load`, in their order.
SELECT sagas.id, sagas.saga_id, sagas.definition, sagas.definition_version, keys.name AS key,
    saga_data.data, sagas.phase, sagas.paused, sagas.steps, sagas.version, sagas.start_id,
    sagas.start_digest, sagas.cancellations, sagas.reason, sagas.detail, sagas.attention,
    sagas.attentions, sagas.started_us, sagas.updated_us
FROM sagas JOIN keys ON keys.id = sagas.key JOIN saga_data ON saga_data.saga = sagas.id
WHERE sagas.id = :saga

-- name: made.of_saga
-- Its commands as they were made, by name.
SELECT name, topic, message FROM made WHERE saga = :saga ORDER BY name

-- name: verbs.told
-- What became of these verbs, as far as they were taken.
SELECT operator_verbs.id, saga_id, verb, actor, reason, result, version_before, version_after,
    at_us
FROM json_each(:ids) AS wanted CROSS JOIN operator_verbs ON operator_verbs.id = wanted.value

-- name: journal.after
-- What happened to these sagas from a moment on, in order, oldest first.
SELECT journal.saga, journal.seq, journal.at_us, journal.what, journal.result,
    journal.from_state, journal.to_state, journal.step, journal.detail, journal.cause_id,
    journal.cause_type
FROM json_each(:sagas) AS wanted CROSS JOIN journal ON journal.saga = CAST(wanted.value AS BIGINT)
WHERE journal.at_us >= :since ORDER BY journal.seq LIMIT :limit
