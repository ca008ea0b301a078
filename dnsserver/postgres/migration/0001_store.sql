-- The one row says what was stored last. Whoever changes anything locks it.
CREATE TABLE head (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq   bigint NOT NULL,
    token bytea NOT NULL
) WITH (fillfactor = 10);
INSERT INTO head (seq, token) VALUES (0, '');

-- id is the SHA-256 of name, type and data, which are too long for an index.
CREATE TABLE record (
    id      bytea PRIMARY KEY,
    name    text COLLATE "C" NOT NULL,
    type    int NOT NULL,
    ttl     bigint NOT NULL,
    expires bigint NOT NULL,
    data    bytea NOT NULL
);

CREATE TABLE document (
    key   text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

-- What was stored lately, for the other servers; the last row stays.
CREATE TABLE change (
    seq     bigint PRIMARY KEY,
    token   bytea NOT NULL,
    server  text NOT NULL,
    batch   bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX change_made_at ON change (made_at);
INSERT INTO change (seq, token, server, batch) VALUES (0, '', '', '');

CREATE TABLE server (
    name     text COLLATE "C" PRIMARY KEY,
    instance bytea NOT NULL,
    pid      int NOT NULL,
    seq      bigint NOT NULL,
    behind   bigint NOT NULL,
    seen_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 20);

COMMENT ON TABLE record IS 'records of certificate-dns that come and go';
COMMENT ON TABLE document IS 'accounts and other values of certificate-dns';
