-- The shipment of each order; kept for life, so that an order never leaves twice.
CREATE TABLE shipment (
    order_id TEXT PRIMARY KEY,
    country  TEXT NOT NULL,
    pieces   INTEGER NOT NULL CHECK (pieces > 0),
    status   TEXT NOT NULL CHECK (status IN ('refused', 'booked', 'cancelled', 'dispatched')),
    tracking TEXT NOT NULL,
    reason   TEXT NOT NULL,
    version  INTEGER NOT NULL
);
