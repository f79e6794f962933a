-- API keys by name, with the SHA-256 of their secret. One that has ended makes room for the next of its name.

CREATE TABLE api_keys (
    name       text COLLATE "C" PRIMARY KEY,
    role       text NOT NULL,
    digest     bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    created_by text NOT NULL,
    revoked_at bigint NOT NULL DEFAULT 0
);
