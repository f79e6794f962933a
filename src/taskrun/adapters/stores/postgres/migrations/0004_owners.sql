-- Who has claimed tasks: a control plane, from one beginning to the next, and no longer than its lease. Numbers only grow,
-- and none is used twice: a task's owner is a fencing token.
CREATE TABLE owners (
    number      bigint PRIMARY KEY,
    lease_until timestamptz NOT NULL
);

-- What control planes had before: they are gone.
INSERT INTO owners SELECT DISTINCT owner, '-infinity'::timestamptz FROM tasks
    WHERE owner IS NOT NULL AND status IN ('PENDING', 'RUNNING');

-- A task that waits keeps its last owner, who may not have heard that it is no longer its own.
ALTER TABLE tasks ADD COLUMN waits boolean NOT NULL DEFAULT false;
UPDATE tasks SET waits = true WHERE status = 'PENDING' AND owner IS NULL;
DROP INDEX tasks_waiting;
DROP INDEX tasks_waiting_since;
DROP INDEX tasks_claimed;
DROP INDEX tasks_by_expiry;
CREATE INDEX tasks_waiting ON tasks (line, rank, id) WHERE waits;
CREATE INDEX tasks_waiting_since ON tasks (line, since) WHERE waits;
CREATE INDEX tasks_by_expiry ON tasks (expires_at, id) WHERE waits AND expires_at IS NOT NULL;
-- What an owner has: claimed and not saved since, or with a worker.
CREATE INDEX tasks_claimed ON tasks (owner, id) WHERE status = 'PENDING' AND NOT waits;
CREATE INDEX tasks_running ON tasks (owner, id) WHERE status = 'RUNNING';

-- A worker that comes to another control plane has runs there.
ALTER TABLE tasks ADD COLUMN worker_id text COLLATE "C";
CREATE INDEX tasks_by_worker ON tasks (worker_id) WHERE status = 'RUNNING';
UPDATE tasks SET worker_id = state::json #>> '{runs,-1,worker_id}' WHERE status = 'RUNNING';

-- Of several that make a task with one key at the same time, the first has it.
ALTER TABLE keys ADD COLUMN owner bigint;

-- Tasks that somebody wants cancelled, for whoever has them.
CREATE TABLE cancels (task_id text COLLATE "C" PRIMARY KEY);

-- The workers of each owner, as it last showed them.
CREATE TABLE workers (
    owner bigint NOT NULL REFERENCES owners ON DELETE CASCADE,
    id    text COLLATE "C" NOT NULL,
    view  text NOT NULL,
    PRIMARY KEY (owner, id)
);
