-- Room in an account that is full goes round between the control planes that wait for it: their numbers, the next first,
-- and since when there has been room for that one, if there is.
ALTER TABLE crews ADD COLUMN queue bigint[] NOT NULL DEFAULT '{}', ADD COLUMN called_at timestamptz;
