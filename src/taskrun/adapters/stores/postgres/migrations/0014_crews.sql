-- Of accounts of which only so many tasks may run at once: no more do than this. Who claims for one holds its row, and
-- raises it; what ends does not change it, and where it leaves too little room the rows of `running` are counted. One
-- whose account has no such rows says nothing, and goes at a meeting.
CREATE TABLE crews (
    account text COLLATE "C" PRIMARY KEY,
    most    bigint NOT NULL
);
