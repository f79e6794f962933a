-- Bootstrap tokens by the SHA-256 of their secret. A spent one moves from the first table to the second.

CREATE TABLE tokens (
    digest     BLOB PRIMARY KEY,
    worker_id  TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX tokens_by_expiry ON tokens (expires_at);

CREATE TABLE exchanges (
    token_digest    BLOB PRIMARY KEY,
    request_digest  BLOB NOT NULL,
    worker_id       TEXT NOT NULL,
    certificate_pem BLOB NOT NULL,
    ca_pem          BLOB NOT NULL,
    remembered_until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX exchanges_by_end ON exchanges (remembered_until);
