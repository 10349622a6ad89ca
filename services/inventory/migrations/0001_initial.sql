-- Stock per product; the checks are the last line of defence, the rules stand in domain.py.
CREATE TABLE shelf (
    sku      TEXT PRIMARY KEY,
    on_hand  INTEGER NOT NULL CHECK (on_hand >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    gone     INTEGER NOT NULL CHECK (gone >= 0),
    version  INTEGER NOT NULL
);

-- The goods of an order; kept for life, so that an order never leaves or is released twice.
CREATE TABLE reservation (
    order_id TEXT PRIMARY KEY,
    units    TEXT NOT NULL,    -- JSON object, units by product
    status   TEXT NOT NULL CHECK (status IN ('reserved', 'released', 'gone', 'left_early')),
    version  INTEGER NOT NULL
);

-- Deliveries already on the shelves; kept for life, so that none is added twice.
CREATE TABLE delivery (
    delivery_id TEXT PRIMARY KEY,
    units       TEXT NOT NULL, -- JSON object, units by product
    version     INTEGER NOT NULL
);
