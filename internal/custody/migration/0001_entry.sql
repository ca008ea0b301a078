CREATE TABLE entry (
    key        text COLLATE "C" PRIMARY KEY,
    value      bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE entry IS 'account keys, private keys and order journals of terraform-provider-certificate';
