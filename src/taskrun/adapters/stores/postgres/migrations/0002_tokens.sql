-- Bootstrap tokens by the SHA-256 of their secret. A spent one moves from the first table to the second.

CREATE TABLE tokens (
    digest     bytea PRIMARY KEY,
    worker_id  text NOT NULL,
    expires_at bigint NOT NULL
);

CREATE INDEX tokens_by_expiry ON tokens (expires_at);

CREATE TABLE exchanges (
    token_digest     bytea PRIMARY KEY,
    request_digest   bytea NOT NULL,
    worker_id        text NOT NULL,
    certificate_pem  bytea NOT NULL,
    ca_pem           bytea NOT NULL,
    remembered_until bigint NOT NULL
);

CREATE INDEX exchanges_by_end ON exchanges (remembered_until);
