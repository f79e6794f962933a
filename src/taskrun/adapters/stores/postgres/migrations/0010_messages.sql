-- Messages for runs that another control plane has, until whoever left one has collected it, or is gone.
CREATE TABLE messages (
    sender     bigint NOT NULL REFERENCES owners ON DELETE CASCADE,
    id         text COLLATE "C" NOT NULL,
    -- The order in which they were left.
    place      bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    task_id    text COLLATE "C" NOT NULL,
    run_id     text NOT NULL,
    message    text NOT NULL,
    -- Who passes it on, if somebody has seen it.
    claimed_by bigint,
    -- There is something to know of it: why it was refused, or else what the task itself tells.
    answered   boolean NOT NULL DEFAULT false,
    refusal    text,
    why        text,
    PRIMARY KEY (sender, id)
);
