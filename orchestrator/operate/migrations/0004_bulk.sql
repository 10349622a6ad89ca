-- What is done to many sagas: how many were confirmed, and what is on its way.

-- The count that was confirmed; null: nobody was asked. More than so many are not told.
ALTER TABLE bulk ADD COLUMN seen INTEGER;

-- bulk_items.state: pending -> telling, kept before it leaves -> requested, when the broker has it.
