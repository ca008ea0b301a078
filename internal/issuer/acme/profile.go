package acme

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-acme/lego/v4/acme"

	"github.com/certiform/terraform-provider-certificate/internal/issuer"
)

// CheckProfile implements issuer.Profiler by the CA's directory, which it fetches
// once and without an account (draft-ietf-acme-profiles-00 §3).
func (i *Issuer) CheckProfile(ctx context.Context, profile string) error {
	if profile = cmp.Or(profile, i.config.Profile); profile == "" {
		return nil
	}
	body, err := i.client.fetchDirectory(ctx)
	if err != nil {
		return err
	}
	var directory acme.Directory
	if err := json.Unmarshal(body, &directory); err != nil {
		return err
	}
	if _, ok := directory.Meta.Profiles[profile]; ok {
		return nil
	}
	names := "it has none"
	if known := slices.Sorted(maps.Keys(directory.Meta.Profiles)); len(known) > 0 {
		names = "it has " + strings.Join(known, ", ")
	}
	return fmt.Errorf("%w: %q; %s", issuer.ErrNoProfile, profile, names)
}
