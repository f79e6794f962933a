-- When a task has waited long enough (Unix ms); NULL may wait for ever.
ALTER TABLE tasks ADD COLUMN expires_at bigint;

-- The few that may not are found without a look at the others.
CREATE INDEX tasks_by_expiry ON tasks (expires_at, id)
    WHERE status = 'PENDING' AND owner IS NULL AND expires_at IS NOT NULL;
