-- name: customer_of
-- One customer's record and totals.
SELECT customer_id, record, country, name, orders, fulfilled, cancelled, points, captured, refunded
FROM customer WHERE customer_id = :customer_id;

-- name: orders_of
-- A page of a customer's orders by order id, from the one after :after.
SELECT order_id, outcome, placed, payments FROM customer_order
WHERE customer_id = :customer_id AND order_id > :after ORDER BY order_id LIMIT :limit;

-- name: totals
-- All customers together; guests' orders belong to no customer.
SELECT count(*) AS customers, coalesce(sum(orders), 0) AS orders,
       coalesce(sum(fulfilled), 0) AS fulfilled, coalesce(sum(cancelled), 0) AS cancelled,
       coalesce(sum(points), 0) AS points
FROM customer;
