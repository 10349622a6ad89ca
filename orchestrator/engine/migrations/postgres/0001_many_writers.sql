-- A saga is begun once, whoever is told of its start.
CREATE UNIQUE INDEX sagas_once ON sagas (saga_id);

-- The journal is append-only; retention takes lines away only of a saga that is gone.
CREATE FUNCTION journal_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER journal_stands BEFORE UPDATE ON journal
    FOR EACH ROW EXECUTE FUNCTION journal_refuses();
CREATE FUNCTION journal_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM sagas WHERE sagas.id = OLD.saga) THEN
        RAISE EXCEPTION 'the journal is append-only' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER journal_stays BEFORE DELETE ON journal
    FOR EACH ROW EXECUTE FUNCTION journal_keeps();
