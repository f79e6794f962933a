-- Tasks that were claimed under a limit on how many run at once, by what is counted together. A row whose task neither
-- runs nor is about to says nothing, and goes at the next claim.
CREATE TABLE running (
    account text COLLATE "C" NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, task_id)
);

-- A task that rests does not run.
CREATE INDEX running_by_task ON running (task_id);
