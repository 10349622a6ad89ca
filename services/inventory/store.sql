-- name: stock_of
-- One product; no row when none of it was ever received.
SELECT sku, on_hand, reserved, gone FROM shelf WHERE sku = :sku;

-- name: stock
-- A page of products in the order of their codes, from the one after :after.
SELECT sku, on_hand, reserved, gone FROM shelf WHERE sku > :after ORDER BY sku LIMIT :limit;

-- name: stock_totals
-- All products together: received = on_hand + reserved + gone.
SELECT count(*) AS products,
       coalesce(sum(on_hand + reserved + gone), 0) AS received,
       coalesce(sum(on_hand), 0) AS on_hand,
       coalesce(sum(reserved), 0) AS reserved,
       coalesce(sum(gone), 0) AS gone
FROM shelf;

-- name: reservation_of
-- What an order holds or held, and how it ended.
SELECT order_id, units, status FROM reservation WHERE order_id = :order_id;
