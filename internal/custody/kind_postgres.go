package custody

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-framework/types/basetypes"

	"github.com/certiform/terraform-provider-certificate/internal/kind"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// EnvPostgresURL stands in for storage.postgres.url.
const EnvPostgresURL = "CERTIFICATE_STORAGE_POSTGRES_URL"

// ErrNoPostgresURL says what to do about a storage.postgres without a URL.
var ErrNoPostgresURL = errors.New("storage.postgres has no url: set it, or " + EnvPostgresURL + " in the environment")

// PostgresKind describes a PostgreSQL database as storage in the provider's
// configuration. Its New returns nil where the URL is missing altogether, as it
// may where nothing is due: see [ErrNoPostgresURL].
func PostgresKind(getenv func(string) string) kind.Kind[Store, schema.Attribute] {
	return kind.Kind[Store, schema.Attribute]{
		Name: "postgres",
		Summary: "Keep everything in a PostgreSQL database, for runs on several machines: they share account keys and orders, and take turns at each certificate. " +
			"A run uses up to five connections and needs sessions of its own: a pooler between has to be in session mode. " +
			"A plan with nothing due does not connect. Use `encryption` too, unless whoever can read the database or its backups may have the private keys.",
		Attributes: map[string]schema.Attribute{
			"url": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: fmt.Sprintf("The database: `postgres://user:password@host:5432/database`. What is left out comes from where `psql` takes it (`PGHOST`, `PGPASSWORD`, `~/.pgpass`), "+
					"but `sslmode`, which is `verify-full` unless the host is this machine. Another database is another storage: move the tables before changing it. Environment: `%s`.", EnvPostgresURL),
			},
			"schema": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: fmt.Sprintf("The schema for the tables; both are created on first use. Another schema is another storage, with locks of its own. Default: `%s`.",
					DefaultSchema),
			},
		},
		New: func(ctx context.Context, at path.Path, object types.Object) (Store, diag.Diagnostics) {
			var b struct {
				URL    types.String `tfsdk:"url"`
				Schema types.String `tfsdk:"schema"`
			}
			diags := object.As(ctx, &b, basetypes.ObjectAsOptions{})
			if diags.HasError() {
				return nil, diags
			}
			attribute, address := "url", b.URL.ValueString()
			if b.URL.IsNull() {
				address = getenv(EnvPostgresURL)
			}
			var err error
			if !b.Schema.IsNull() {
				if err = checkSchema(b.Schema.ValueString()); err != nil {
					attribute = "schema"
				}
			}
			if err == nil && address == "" {
				return nil, diags // a plan with nothing due needs no secret
			}
			var store *Postgres
			if err == nil {
				store, err = OpenPostgres(PostgresOptions{secret.New(address), b.Schema.ValueString()})
			}
			if err != nil {
				diags.AddAttributeError(at.AtName(attribute), "No usable PostgreSQL database",
					fmt.Sprintf("%s. Nothing was stored; account keys, private keys and orders need this place.", err))
				return nil, diags
			}
			return store, diags
		},
	}
}

// PostgresFromEnvironment is the database when no storage is configured; nil
// when the environment names none.
func PostgresFromEnvironment(getenv func(string) string) (Store, error) {
	switch {
	case getenv(EnvPostgresURL) == "":
		return nil, nil
	case getenv(EnvDirectory) != "":
		return nil, errors.New("both " + EnvDirectory + " and " + EnvPostgresURL + " are set: unset one, or configure storage")
	}
	store, err := OpenPostgres(PostgresOptions{URL: secret.New(getenv(EnvPostgresURL))})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvPostgresURL, err)
	}
	return store, nil
}
