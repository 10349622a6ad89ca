-- name: days
-- A page of days from the one after :after, oldest first.
SELECT date, placed, fulfilled, cancelled, needed_attention, cancellations_asked,
       cancellations_refused, dispatched, units_ordered, deliveries, units_received,
       cancelled_by, ordered_minor, captured_minor, voided_minor, refunded_minor
FROM day WHERE date > :after ORDER BY date LIMIT :limit;

-- name: day_of
-- One day; no row when nothing counts for it.
SELECT date, placed, fulfilled, cancelled, needed_attention, cancellations_asked,
       cancellations_refused, dispatched, units_ordered, deliveries, units_received,
       cancelled_by, ordered_minor, captured_minor, voided_minor, refunded_minor
FROM day WHERE date = :date;

-- name: reasons
-- Why orders were cancelled, over all days, the most frequent first.
SELECT reason.key AS reason, sum(reason.value) AS orders
FROM day, json_each(day.cancelled_by) AS reason
GROUP BY reason.key ORDER BY orders DESC, reason;
-- on postgres
SELECT reason.key AS reason, sum(CAST(reason.value AS BIGINT)) AS orders
FROM day, jsonb_each_text(CAST(day.cancelled_by AS JSONB)) AS reason
GROUP BY reason.key ORDER BY orders DESC, reason.key COLLATE "C";

-- name: not_placed
-- Orders of which something is known, but not (yet) that they were placed; they count nowhere.
SELECT count(*) AS orders FROM order_facts WHERE placed = '{}';

-- name: low_stock
-- Products that fell to their threshold, the scarcest first.
SELECT sku, lowest_free, threshold FROM product ORDER BY lowest_free, sku LIMIT :limit;

-- name: onboarding
-- How many customers were onboarded, refused, or are stuck, and how their profiles stand.
SELECT state, onboarding, reason, count(*) AS customers
FROM profile GROUP BY state, onboarding, reason ORDER BY state, onboarding, reason;
