-- name: letters_of
-- What the customer of one order was told, without name or address.
SELECT order_id, customer_id, facts, letters FROM order_mail WHERE order_id = :order_id;

-- name: letter_totals
-- How many letters of each kind are in each state.
SELECT kind, state, count(*) AS letters FROM (
    SELECT each.key AS kind, each.value AS state FROM order_mail, json_each(order_mail.letters) AS each
    UNION ALL
    SELECT each.key, each.value FROM customer, json_each(customer.letters) AS each
)
GROUP BY kind, state ORDER BY kind, state;
-- on postgres
SELECT kind COLLATE "C" AS kind, state COLLATE "C" AS state, count(*) AS letters FROM (
    SELECT each.key AS kind, each.value AS state
    FROM order_mail, jsonb_each_text(CAST(order_mail.letters AS JSONB)) AS each
    UNION ALL
    SELECT each.key, each.value
    FROM customer, jsonb_each_text(CAST(customer.letters AS JSONB)) AS each
) AS told
GROUP BY 1, 2 ORDER BY 1, 2;
