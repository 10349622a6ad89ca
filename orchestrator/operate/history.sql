-- The ring of samples in the console's own database.

-- name: samples.keep
INSERT INTO samples (slot, at_us, open, started, completed, compensated, stuck, severe,
    oldest_open_s, oldest_stuck_s)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (slot) DO UPDATE SET at_us = excluded.at_us, open = excluded.open,
    started = excluded.started, completed = excluded.completed,
    compensated = excluded.compensated, stuck = excluded.stuck, severe = excluded.severe,
    oldest_open_s = excluded.oldest_open_s, oldest_stuck_s = excluded.oldest_stuck_s

-- name: samples.kept
-- At most as many as the ring has slots.
SELECT at_us, open, started, completed, compensated, stuck, severe, oldest_open_s, oldest_stuck_s
FROM samples WHERE at_us > :since AND at_us <= :upto ORDER BY at_us
