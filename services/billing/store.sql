-- name: payment_of
-- One order's money; no row when it was never asked for.
SELECT order_id, customer_id, currency, status, authorisation_id, authorised_minor, captured_minor,
       voided_minor, refunded_minor, reason
FROM payment WHERE order_id = :order_id;

-- name: postings_of
-- How one order's money moved, in the order in which it did.
SELECT posting_id, kind, currency, credit, debit, amount_minor
FROM posting WHERE order_id = :order_id
ORDER BY CASE kind WHEN 'authorised' THEN 1 WHEN 'captured' THEN 2 WHEN 'released' THEN 3
    WHEN 'voided' THEN 4 ELSE 5 END, length(kind), kind;

-- name: payment_totals
-- All payments by currency: authorised = captured + voided + held.
SELECT currency,
       sum(authorised_minor) AS authorised_minor,
       sum(captured_minor) AS captured_minor,
       sum(voided_minor) AS voided_minor,
       sum(refunded_minor) AS refunded_minor,
       sum(authorised_minor - captured_minor - voided_minor) AS held_minor,
       count(nullif(status, 'declined')) AS authorisations,
       count(*) FILTER (WHERE status = 'declined') AS declined,
       count(*) FILTER (WHERE status = 'captured') AS captures,
       count(*) FILTER (WHERE status = 'voided') AS voids
FROM payment GROUP BY currency ORDER BY currency;

-- name: ledger_totals
-- What lies in each account; the customers' accounts together. Sums to zero by currency.
SELECT currency,
       CASE WHEN account LIKE 'customer:%' THEN 'customers' ELSE account END AS account,
       sum(amount_minor) AS amount_minor
FROM entry GROUP BY 1, 2 ORDER BY 1, 2;

-- name: account_of
-- One customer's account.
SELECT customer_id, account_id, country, status FROM account WHERE customer_id = :customer_id;
