-- name: shipment_of
-- One order's shipment; no row when none was asked for.
SELECT order_id, country, pieces, status, tracking, reason
FROM shipment WHERE order_id = :order_id;

-- name: shipment_totals
-- How many shipments are in each state.
SELECT status, count(*) AS shipments FROM shipment GROUP BY status ORDER BY status;
