-- Which lines limits count together: what waits in an account is what waits in its lines. Names are as in `rates`.
CREATE TABLE accounts (
    account text COLLATE "C" NOT NULL,
    line    uuid NOT NULL,
    PRIMARY KEY (account, line)
);

INSERT INTO accounts SELECT '[["agent","' || agent || '"]]', line FROM requirements;
INSERT INTO accounts SELECT '[' || named || ']', line
    FROM requirements CROSS JOIN LATERAL json_array_elements(share::json) AS pairs (named);

-- Of accounts of which only so many tasks may wait: no more do than this, which was counted then. A row whose count is
-- old says nothing, and goes at a meeting.
CREATE TABLE crowds (
    account text COLLATE "C" PRIMARY KEY,
    most    bigint NOT NULL,
    counted timestamptz NOT NULL
);

-- Those that say nothing are found without a look at the others.
CREATE INDEX crowds_by_count ON crowds (counted);
