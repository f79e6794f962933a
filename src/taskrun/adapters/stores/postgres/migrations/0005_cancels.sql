-- Somebody was told that the task is cancelled. It stands in the task's own row, which whoever ends the task has to lock;
-- it is never taken back, and told to whoever has the task until that one says so itself.
ALTER TABLE tasks ADD COLUMN cancel_wanted boolean NOT NULL DEFAULT false;
UPDATE tasks SET cancel_wanted = true FROM cancels WHERE id = task_id;
DROP TABLE cancels;
CREATE INDEX tasks_cancels ON tasks (id) WHERE cancel_wanted AND finished_at IS NULL;
