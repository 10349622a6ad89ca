-- name: order_of
-- One order with all that is known of it.
SELECT order_id, bodies, told_as, accepted, outcome, attention, cancellations, status
FROM placed_order WHERE order_id = :order_id;

-- name: count_by_status
-- How many orders stand how; the sum is the number of orders ever heard of.
SELECT status, count(*) AS orders FROM placed_order GROUP BY status ORDER BY status;
