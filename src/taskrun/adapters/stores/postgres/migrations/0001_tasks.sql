-- Tasks, their stories, and the queue. Bodies are JSON, so that a person with psql can read them.
-- Times are Unix milliseconds. Ids are compared byte by byte, as the control plane does, whatever the database's language.

CREATE TABLE tasks (
    id          text COLLATE "C" PRIMARY KEY,
    status      text COLLATE "C" NOT NULL,
    agent       text COLLATE "C" NOT NULL,
    line        uuid NOT NULL,  -- the line that it waits in: a digest of what it needs of a worker
    rank        integer NOT NULL,  -- of the line the least goes first: it is the negative priority
    since       bigint NOT NULL,  -- when it last began to wait
    owner       bigint,  -- the control plane that has claimed it; NULL while it waits and when it has ended
    finished_at bigint,  -- NULL until the task has ended
    story_seq   bigint,  -- the number that its story goes on with; NULL without a story
    birth       text NOT NULL,  -- what never changes: who created it, when, and what was asked for
    state       text NOT NULL  -- every field of the task that can change
);

-- Who waits: a claim takes the first of a line.
CREATE INDEX tasks_waiting ON tasks (line, rank, id) WHERE status = 'PENDING' AND owner IS NULL;
CREATE INDEX tasks_waiting_since ON tasks (line, since) WHERE status = 'PENDING' AND owner IS NULL;
-- Who was claimed and not saved since.
CREATE INDEX tasks_claimed ON tasks (owner, id) WHERE status = 'PENDING' AND owner IS NOT NULL;
-- The agent is in here so that a search for both reads the index alone.
CREATE INDEX tasks_by_status ON tasks (status, id, agent);
CREATE INDEX tasks_by_agent ON tasks (agent, id);
CREATE INDEX tasks_by_end ON tasks (finished_at) WHERE finished_at IS NOT NULL;

-- What one commit added to a task's story: consecutive entries, with the numbers from seq up to next_seq.
CREATE TABLE story (
    task_id  text COLLATE "C" NOT NULL,
    seq      bigint NOT NULL,
    next_seq bigint NOT NULL,
    entries  text NOT NULL,
    PRIMARY KEY (task_id, seq)
);

-- What the tasks of a line need of a worker.
CREATE TABLE requirements (
    line     uuid PRIMARY KEY,
    agent    text NOT NULL,
    selector text NOT NULL
);

-- Counts, because counting reads everything. Each is the sum over the shards: whoever writes at the same time as others
-- has a shard of its own, so that nobody waits for a row. They are written often, and so have room to be written in place.
CREATE TABLE waiting (
    line   uuid NOT NULL,
    shard  integer NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (line, shard)
) WITH (fillfactor = 20);

-- By name: tasks of each status, and "bytes", about what tasks and stories take.
CREATE TABLE counts (
    name   text COLLATE "C" NOT NULL,
    shard  integer NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (name, shard)
) WITH (fillfactor = 20);

-- The newest task that a caller made with an idempotency key.
CREATE TABLE keys (
    caller  text COLLATE "C" NOT NULL,
    key     text COLLATE "C" NOT NULL,
    made_at bigint NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (caller, key)
);

-- Numbers for control planes: a new one each time that one begins.
CREATE SEQUENCE owner_numbers;
