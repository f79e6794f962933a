-- Whose tasks wait in a line, as pairs of a key and its value: tasks of others wait in a line of their own.
-- What waited before was nobody's in particular.
CREATE TABLE lines (
    number   INTEGER PRIMARY KEY,
    agent    TEXT NOT NULL,
    selector TEXT NOT NULL,
    share    TEXT NOT NULL DEFAULT '[]',
    waiting  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (agent, selector, share)
);
INSERT INTO lines (number, agent, selector, waiting) SELECT number, agent, selector, waiting FROM requirements;
DROP TABLE requirements;
ALTER TABLE lines RENAME TO requirements;

-- A rank counts seconds: when the task was created, less what its priority is worth, which here is 2^33 a step.
UPDATE queue SET rank = rank * 8589934592 + (
    SELECT json_extract(CAST(body AS TEXT), '$.created_at_ms') / 1000 FROM births WHERE births.task_id = queue.task_id
);
