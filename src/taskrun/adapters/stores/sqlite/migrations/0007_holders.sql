-- The one worker that has the session that a task goes on with; NULL for those that go on with none, and for what waits
-- already: that has a limit of its own.
ALTER TABLE queue ADD COLUMN holder TEXT;

-- The few of a worker that is gone are found without a look at the others.
CREATE INDEX queue_by_holder ON queue (holder, task_id) WHERE holder IS NOT NULL;
