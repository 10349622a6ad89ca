-- The payment of each order; the checks are the last line of defence, the rules are in domain.py.
CREATE TABLE payment (
    order_id         TEXT PRIMARY KEY,
    customer_id      TEXT,             -- NULL: a guest, or a payment we never heard of
    currency         TEXT NOT NULL,
    status           TEXT NOT NULL CHECK (status IN ('declined', 'authorised', 'captured', 'voided')),
    authorisation_id TEXT NOT NULL,
    authorised_minor INTEGER NOT NULL CHECK (authorised_minor >= captured_minor + voided_minor),
    captured_minor   INTEGER NOT NULL CHECK (captured_minor >= refunded_minor),
    voided_minor     INTEGER NOT NULL CHECK (voided_minor >= 0),
    refunded_minor   INTEGER NOT NULL CHECK (refunded_minor >= 0),
    reason           TEXT NOT NULL,
    version          INTEGER NOT NULL
);

-- The ledger. A posting takes an amount from `credit` and gives it to `debit`, once and for ever:
-- an amount has no sign and no second half that could be missing.
CREATE TABLE posting (
    posting_id   TEXT PRIMARY KEY,     -- order/kind
    order_id     TEXT NOT NULL,
    kind         TEXT NOT NULL,
    currency     TEXT NOT NULL,
    debit        TEXT NOT NULL,
    credit       TEXT NOT NULL CHECK (credit <> debit),
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    version      INTEGER NOT NULL CHECK (version = 1)
);
CREATE INDEX posting_order ON posting (order_id);

-- The ledger as book-keepers read it: two entries a posting, which sum to zero.
CREATE VIEW entry AS
SELECT posting_id, order_id, kind, currency, debit AS account, amount_minor FROM posting
UNION ALL
SELECT posting_id, order_id, kind, currency, credit AS account, -amount_minor FROM posting;

CREATE TABLE account (
    customer_id TEXT PRIMARY KEY,
    account_id  TEXT NOT NULL UNIQUE,
    country     TEXT NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('open', 'closed')),
    version     INTEGER NOT NULL
);
