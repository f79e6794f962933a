-- The one worker that has the session that a task goes on with; NULL for those that go on with none, and for what waits
-- already: that has a limit of its own.
ALTER TABLE tasks ADD COLUMN holder text COLLATE "C";

-- The few of a worker that is gone are found without a look at the others.
CREATE INDEX tasks_by_holder ON tasks (holder, id) WHERE waits AND holder IS NOT NULL;
