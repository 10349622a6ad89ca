-- Whether another process has something of a record key still to send, asked with every batch.
CREATE INDEX outbox_behind ON outbox (record_key) WHERE sent_us IS NULL;
