-- A customer's record (name and country only while it is open) and the totals of the orders.
CREATE TABLE customer (
    customer_id TEXT PRIMARY KEY,
    record      TEXT NOT NULL CHECK (record IN ('none', 'open', 'closed')),
    country     TEXT NOT NULL,
    name        TEXT NOT NULL,
    orders      INTEGER NOT NULL CHECK (orders >= 0),
    fulfilled   INTEGER NOT NULL CHECK (fulfilled >= 0),
    cancelled   INTEGER NOT NULL CHECK (cancelled >= 0),
    points      INTEGER NOT NULL CHECK (points >= 0),
    captured    TEXT NOT NULL, -- JSON object, minor units by currency
    refunded    TEXT NOT NULL, -- JSON object, minor units by currency
    version     INTEGER NOT NULL
);

-- One row per order, each fact once, by the id of the event that told it; kept for life.
CREATE TABLE customer_order (
    order_id    TEXT PRIMARY KEY,
    customer_id TEXT,          -- null for a guest, or while unknown
    accepted    TEXT,          -- id of the OrderPlaced that the outcome names
    outcome     TEXT NOT NULL, -- JSON object, or null while there is none
    placed      TEXT NOT NULL, -- JSON object by event id
    payments    TEXT NOT NULL, -- JSON object by event id
    version     INTEGER NOT NULL
);
CREATE INDEX customer_order_by_customer ON customer_order (customer_id, order_id)
    WHERE customer_id IS NOT NULL;
