-- Certificates that were issued, by their serial number; revoked_at is 0 for those that are good.
CREATE TABLE certificates (
    serial     text COLLATE "C" PRIMARY KEY,
    owner      text COLLATE "C" NOT NULL,
    issued_at  bigint NOT NULL,
    not_after  bigint NOT NULL,
    revoked_at bigint NOT NULL DEFAULT 0
);

CREATE INDEX certificates_by_issue ON certificates (issued_at DESC, serial);
CREATE INDEX certificates_by_owner ON certificates (owner, issued_at DESC, serial);
CREATE INDEX certificates_by_end ON certificates (not_after);

-- What was revoked: one certificate (serial), or all that an owner was given before. The other is ''. Numbers only grow.
CREATE TABLE revocations (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     bigint NOT NULL,
    owner  text COLLATE "C" NOT NULL,
    serial text COLLATE "C" NOT NULL
);

CREATE INDEX revocations_by_owner ON revocations (owner) WHERE owner <> '';
CREATE INDEX revocations_by_serial ON revocations (serial) WHERE serial <> '';
