-- name: keys
INSERT INTO keys (id, name)
SELECT :base + i, printf('past-%08d-%d', i, random() & 65535) FROM numbers WHERE i <= :sagas

-- name: sagas
INSERT INTO sagas
SELECT :base + i, :base + i, 'fulfilment:past-' || i, 'fulfilment', 1, 'completed', 0,
    '[{"name":"stock","status":"done","do_tries":1},{"name":"payment","status":"done","do_tries":1},'
    || '{"name":"shipment","status":"done","do_tries":1},{"name":"capture","status":"done"},'
    || '{"name":"dispatch","status":"done","do_tries":1}]',
    6, 'e', 'd', '[]', '', '', '', 0, i * 1000, i * 1000 + 50
FROM numbers WHERE i <= :sagas

-- name: data
INSERT INTO saga_data
SELECT :base + i, '{"order_id":"past","customer_id":"c-1","items":[{"sku":"sku-1","quantity":1},'
    || '{"sku":"sku-2","quantity":2}],"amount":{"amount_minor":1850,"currency":"GBP"}}'
FROM numbers WHERE i <= :sagas

-- name: inbox
INSERT INTO inbox
SELECT :base + i, sources.name, 'fulfilment:past-' || i || '/' || sources.name, i
FROM numbers CROSS JOIN (
    SELECT 'billing' AS name UNION ALL SELECT 'crm' UNION ALL SELECT 'inventory'
    UNION ALL SELECT 'shipping' UNION ALL SELECT 'shop' UNION ALL SELECT 'stock'
) AS sources WHERE i <= :sagas

-- name: made
INSERT INTO made
SELECT :base + i, steps.name, 'billing.payment.commands.v1', zeroblob(500)
FROM numbers CROSS JOIN (
    SELECT 'capture/do' AS name UNION ALL SELECT 'dispatch/do' UNION ALL SELECT 'payment/do'
    UNION ALL SELECT 'shipment/do' UNION ALL SELECT 'stock/do'
) AS steps WHERE i <= :sagas

-- name: journal
INSERT INTO journal (saga, version, at_us, what, result, from_state, to_state, step, detail,
    actor, evidence, cause_id, cause_source, cause_type, sent)
SELECT :base + i, versions.n, i, 'answered', 'applied', 'awaiting_stock', 'awaiting_payment',
    'stock', '', '', '', 'fulfilment:past/stock/do/reply', 'inventory',
    'baton.inventory.StockReserved', 'AuthorisePayment'
FROM numbers CROSS JOIN (
    SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
    UNION ALL SELECT 5 UNION ALL SELECT 6
) AS versions WHERE i <= :sagas
