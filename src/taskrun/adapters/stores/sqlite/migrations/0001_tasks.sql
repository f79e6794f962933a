-- Tasks, their stories, and the queue. Bodies are JSON, so that a person with the sqlite3 shell can read them.
-- Times are Unix milliseconds. Tables are clustered by their keys: ids are time-ordered, so that rows are added at the end.

-- What changes about a task. It is small, because each change of status writes it anew.
CREATE TABLE tasks (
    id          TEXT PRIMARY KEY,
    status      TEXT NOT NULL,
    agent       TEXT NOT NULL,
    finished_at INTEGER,       -- NULL until the task has ended
    state       BLOB NOT NULL  -- every field of the task that can change
) WITHOUT ROWID;

-- The agent is in here so that a search for both reads the index alone.
CREATE INDEX tasks_by_status ON tasks (status, id, agent);
CREATE INDEX tasks_by_agent ON tasks (agent, id);
CREATE INDEX tasks_by_end ON tasks (finished_at) WHERE finished_at IS NOT NULL;

-- What never changes about a task. Its input may have a megabyte: written once.
CREATE TABLE births (
    task_id TEXT PRIMARY KEY,
    body    BLOB NOT NULL  -- who created it, when, and what was asked for
) WITHOUT ROWID;

-- What one commit added to a task's story: consecutive entries, with the numbers from seq up to next_seq.
CREATE TABLE story (
    task_id  TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    next_seq INTEGER NOT NULL,
    entries  BLOB NOT NULL,
    PRIMARY KEY (task_id, seq)
) WITHOUT ROWID;

-- What tasks need of a worker, with the number of tasks in its queue.
CREATE TABLE requirements (
    number   INTEGER PRIMARY KEY,
    agent    TEXT NOT NULL,
    selector TEXT NOT NULL,
    waiting  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (agent, selector)
);

-- Who waits, in the order of going out: the least rank first (it is the negative priority), then the oldest id.
-- A claim takes the row out. A task that is PENDING without a row here was claimed and not saved since.
CREATE TABLE queue (
    requirement INTEGER NOT NULL,
    rank        INTEGER NOT NULL,
    task_id     TEXT NOT NULL,
    since       INTEGER NOT NULL,
    PRIMARY KEY (requirement, rank, task_id)
) WITHOUT ROWID;

CREATE INDEX queue_by_age ON queue (requirement, since);

-- How many tasks have each status: kept, because counting reads them all.
CREATE TABLE counts (
    status TEXT PRIMARY KEY,
    tasks  INTEGER NOT NULL
) WITHOUT ROWID;

-- The newest task that a caller made with an idempotency key.
CREATE TABLE keys (
    caller  TEXT NOT NULL,
    key     TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (caller, key)
) WITHOUT ROWID;
