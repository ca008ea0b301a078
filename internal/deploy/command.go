package deploy

import (
	"context"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// command runs argv and returns its words; an exit code other than 0 is an error
// that carries them. Private keys a tool prints are cut out.
func command(ctx context.Context, machine transport.Transport, argv []string) (string, error) {
	out, err := machine.Run(ctx, argv, nil)
	if err != nil {
		return "", err
	}
	out.Text = withoutKeys(out.Text)
	return out.Text, transport.ExitError(argv, out)
}

// withoutKeys replaces every PEM block of a private key, even one without an
// end.
func withoutKeys(text string) string {
	const begin, mark, end = "-----BEGIN ", "PRIVATE KEY-----", "-----END "
	var kept strings.Builder
	for {
		at := strings.Index(text, mark)
		if at < 0 {
			kept.WriteString(text)
			return kept.String()
		}
		kept.WriteString(text[:max(strings.LastIndex(text[:at], begin), 0)])
		kept.WriteString("[private key]")
		text = text[at+len(mark):]
		stop := strings.Index(text, end)
		if stop < 0 {
			return kept.String()
		}
		text = text[stop+len(end):]
		if _, after, ok := strings.Cut(text, "-----"); ok {
			text = after
		}
	}
}
