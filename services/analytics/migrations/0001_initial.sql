-- One row per order, each fact once; everything below about orders is computed from these rows.
CREATE TABLE order_facts (
    order_id      TEXT PRIMARY KEY,
    placed        TEXT NOT NULL, -- JSON object by event id
    accepted      TEXT,          -- id of the OrderPlaced that the outcome names
    outcome       TEXT NOT NULL, -- JSON object, or null while there is none
    payments      TEXT NOT NULL, -- JSON object by event id
    cancellations TEXT NOT NULL, -- JSON array of request ids
    refusals      TEXT NOT NULL, -- JSON array of request ids
    attention     INTEGER NOT NULL,
    dispatched    INTEGER NOT NULL,
    version       INTEGER NOT NULL
);

-- Totals of the orders placed on a day, whenever the rest of them happened, and of deliveries.
CREATE TABLE day (
    date                  TEXT PRIMARY KEY, -- UTC, 2010-12-01
    placed                INTEGER NOT NULL CHECK (placed >= 0),
    fulfilled             INTEGER NOT NULL CHECK (fulfilled >= 0),
    cancelled             INTEGER NOT NULL CHECK (cancelled >= 0),
    needed_attention      INTEGER NOT NULL CHECK (needed_attention >= 0),
    cancellations_asked   INTEGER NOT NULL CHECK (cancellations_asked >= 0),
    cancellations_refused INTEGER NOT NULL CHECK (cancellations_refused >= 0),
    dispatched            INTEGER NOT NULL CHECK (dispatched >= 0),
    units_ordered         INTEGER NOT NULL CHECK (units_ordered >= 0),
    deliveries            INTEGER NOT NULL CHECK (deliveries >= 0),
    units_received        INTEGER NOT NULL CHECK (units_received >= 0),
    cancelled_by          TEXT NOT NULL, -- JSON object, orders by reason
    ordered_minor         TEXT NOT NULL, -- JSON object, minor units by currency
    captured_minor        TEXT NOT NULL, -- JSON object, minor units by currency
    voided_minor          TEXT NOT NULL, -- JSON object, minor units by currency
    refunded_minor        TEXT NOT NULL, -- JSON object, minor units by currency
    version               INTEGER NOT NULL
);

-- Deliveries already counted; kept for life, so that none counts twice.
CREATE TABLE delivery (
    delivery_id TEXT PRIMARY KEY,
    date        TEXT NOT NULL,
    units       INTEGER NOT NULL,
    version     INTEGER NOT NULL
);

-- Products that ever fell to their threshold.
CREATE TABLE product (
    sku         TEXT PRIMARY KEY,
    lowest_free INTEGER NOT NULL,
    threshold   INTEGER NOT NULL,
    version     INTEGER NOT NULL
);

-- Customers without a name; the country only while the profile lasts.
CREATE TABLE profile (
    customer_id TEXT PRIMARY KEY,
    state       TEXT NOT NULL CHECK (state IN ('none', 'started', 'erased')),
    country     TEXT NOT NULL,
    onboarding  TEXT NOT NULL,
    reason      TEXT NOT NULL,
    version     INTEGER NOT NULL
);
