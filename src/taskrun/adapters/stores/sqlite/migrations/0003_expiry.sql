-- When a task has waited long enough (Unix ms); NULL may wait for ever.
ALTER TABLE queue ADD COLUMN expires_at INTEGER;

-- The few that may not are found without a look at the others.
CREATE INDEX queue_by_expiry ON queue (expires_at, task_id) WHERE expires_at IS NOT NULL;
