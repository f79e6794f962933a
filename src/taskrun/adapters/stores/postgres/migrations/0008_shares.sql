-- Whose tasks wait in a line, as pairs of a key and its value: tasks of others wait in a line of their own.
-- What waited before was nobody's in particular.
ALTER TABLE requirements ADD COLUMN share text NOT NULL DEFAULT '[]';

-- A rank counts seconds: when the task was created, less what its priority is worth, which here is 2^33 a step.
ALTER TABLE tasks ALTER COLUMN rank TYPE bigint
    USING rank::bigint * 8589934592 + (birth::json ->> 'created_at_ms')::bigint / 1000;
