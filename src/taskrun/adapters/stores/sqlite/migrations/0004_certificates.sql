-- Certificates that were issued, by their serial number; revoked_at is 0 for those that are good.
CREATE TABLE certificates (
    serial     TEXT PRIMARY KEY,
    owner      TEXT NOT NULL,
    issued_at  INTEGER NOT NULL,
    not_after  INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE INDEX certificates_by_issue ON certificates (issued_at DESC, serial);
CREATE INDEX certificates_by_owner ON certificates (owner, issued_at DESC, serial);
CREATE INDEX certificates_by_end ON certificates (not_after);

-- What was revoked: one certificate (serial), or all that an owner was given before. The other is ''. Numbers only grow.
CREATE TABLE revocations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    owner  TEXT NOT NULL,
    serial TEXT NOT NULL
);

CREATE INDEX revocations_by_owner ON revocations (owner) WHERE owner <> '';
CREATE INDEX revocations_by_serial ON revocations (serial) WHERE serial <> '';
