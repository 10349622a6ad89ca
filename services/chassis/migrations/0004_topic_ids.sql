-- The id of the topic in whose log the position stands, empty until it is known: a topic made anew
-- has another, and its offsets say nothing of what was read.
ALTER TABLE offsets ADD COLUMN topic_id TEXT NOT NULL DEFAULT '';
