-- One row per order, each fact once; bodies by fingerprint, told_as from event id to fingerprint.
CREATE TABLE placed_order (
    order_id      TEXT PRIMARY KEY,
    bodies        TEXT NOT NULL, -- JSON object
    told_as       TEXT NOT NULL, -- JSON object
    accepted      TEXT,          -- id of the OrderPlaced that the outcome names
    outcome       TEXT NOT NULL, -- JSON object, or null while there is none
    attention     TEXT NOT NULL, -- JSON object, the latest notice, or null
    cancellations TEXT NOT NULL, -- JSON object by request id
    status        TEXT NOT NULL CHECK (status IN (
        'expected', 'placed', 'cancelling', 'needs_attention', 'fulfilled', 'cancelled'
    )),
    version       INTEGER NOT NULL
);
CREATE INDEX placed_order_by_status ON placed_order (status);

-- What an Idempotency-Key was used for; kept for life, so that a retry years later is one order.
CREATE TABLE submission (
    idempotency_key TEXT PRIMARY KEY,
    order_id        TEXT NOT NULL REFERENCES placed_order (order_id)
                    DEFERRABLE INITIALLY DEFERRED,
    fingerprint     TEXT NOT NULL,
    version         INTEGER NOT NULL
);
