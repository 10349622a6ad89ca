-- What is known of each order and what its customer was told; kept for life, so that no letter
-- is sent twice.
CREATE TABLE order_mail (
    order_id    TEXT PRIMARY KEY,
    customer_id TEXT,             -- NULL: a guest, or not known yet
    facts       TEXT NOT NULL,    -- JSON object, kind → what its letter says
    letters     TEXT NOT NULL,    -- JSON object, kind → sending | sent | undeliverable | suppressed
    version     INTEGER NOT NULL
);

-- Where a customer's mail goes. Name and address are personal data.
CREATE TABLE customer (
    customer_id TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    email       TEXT NOT NULL,    -- empty: not registered yet
    outcome     TEXT NOT NULL CHECK (outcome IN ('', 'welcome', 'declined')),
    detail      TEXT NOT NULL,
    letters     TEXT NOT NULL,    -- JSON object, kind → state
    waiting     TEXT NOT NULL,    -- JSON array of orders
    version     INTEGER NOT NULL
);
