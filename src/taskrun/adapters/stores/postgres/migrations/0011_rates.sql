-- Of accounts that may have so many new tasks a minute: until when each has used up what it was given, had it come
-- evenly. A row whose time is over says nothing, and goes at a meeting.
CREATE TABLE rates (
    account text COLLATE "C" PRIMARY KEY,
    even    timestamptz NOT NULL
);

-- Those that say nothing are found without a look at the others.
CREATE INDEX rates_by_even ON rates (even);
