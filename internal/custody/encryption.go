package custody

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// ageIntro is the first line of every age file (age-encryption.org/v1).
const ageIntro = "age-encryption.org/v1\n"

// sealed is a Store whose values all are age files, or (without identities)
// none is. It encrypts against readers of the storage; whoever can write to it
// can still exchange values, so write access stays a matter of trust.
type sealed struct {
	Store // List and Lock need no protection; keys are not secret

	identities []age.Identity
	recipients []age.Recipient
}

// Seal returns inner with every value encrypted to identity and to all
// recipients, or, where identity is empty, in the clear. Either way it refuses,
// with an error that wraps [ErrUnreadable], to read, replace or delete a value
// of the other sort.
//
// The identity is what age-keygen writes: "AGE-SECRET-KEY-1…" (or the hybrid
// "AGE-SECRET-KEY-PQ-1…"), comments allowed. Of several, one a line, the first
// encrypts and all decrypt, so an identity is replaced by putting the new one
// first. A recipient is the public part of another identity ("age1…"), whose
// owner then can read what is stored from now on; one that is not usable gives
// an error that wraps [ErrRecipient], and any of them without an identity gives
// [ErrNoIdentity]. The values can be read with the age
// command and any of the identities.
//
// A value keeps its recipients until it is stored again: an identity that was
// replaced has to stay below the new one for as long as there are such values.
func Seal(inner Store, identity secret.Text, recipients ...string) (Store, error) {
	if strings.TrimSpace(identity.Reveal()) == "" {
		if len(recipients) > 0 {
			return nil, ErrNoIdentity
		}
		return &sealed{Store: inner}, nil
	}
	// age's errors hold no part of the key, but that is for age to change.
	identities, err := age.ParseIdentities(strings.NewReader(trimLines(identity.Reveal())))
	if err != nil {
		return nil, errors.New("encryption.age_identity is no age identity: make one with age-keygen, " +
			"and give the line that begins with AGE-SECRET-KEY-1")
	}
	var own string
	switch first := identities[0].(type) {
	case *age.X25519Identity:
		own = first.Recipient().String()
	case *age.HybridIdentity:
		own = first.Recipient().String()
	default:
		return nil, errors.New("encryption.age_identity is an age identity of an unknown kind: make one with age-keygen")
	}
	parsed, err := parseRecipients(own, recipients)
	if err != nil {
		return nil, err
	}
	return &sealed{Store: inner, identities: identities, recipients: parsed}, nil
}

// parseRecipients returns own and the others, each once.
func parseRecipients(own string, others []string) ([]age.Recipient, error) {
	var recipients []age.Recipient
	var known []string
	for _, text := range append([]string{own}, others...) {
		text = strings.TrimSpace(text)
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return nil, fmt.Errorf("%w: a recipient is an identity, which is secret: give its public part, which begins with age1 (age-keygen -y prints it)", ErrRecipient)
		}
		parsed, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil || len(parsed) != 1 {
			return nil, fmt.Errorf("%w: %q is none: give the public part of an age identity, which begins with age1 (age-keygen -y prints it)", ErrRecipient, text)
		}
		if !slices.Contains(known, text) {
			known, recipients = append(known, text), append(recipients, parsed...)
		}
	}
	// age does not mix hybrid recipients with others: only a try tells.
	if _, err := age.Encrypt(io.Discard, recipients...); err != nil {
		return nil, fmt.Errorf("%w: they cannot be used together: %w", ErrRecipient, err)
	}
	return recipients, nil
}

// trimLines removes the indentation that a heredoc leaves around a key.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// Put stores data under key; see [Store] and [Seal].
func (s *sealed) Put(ctx context.Context, key string, data []byte) error {
	if err := s.mayReplace(ctx, key); err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	value, err := s.encode(data)
	if err != nil {
		return fmt.Errorf("store %s: %w", key, err)
	}
	return s.Store.Put(ctx, key, value)
}

// Get returns the value under key; see [Store] and [Seal].
func (s *sealed) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	data, err := s.decode(value)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// Delete removes the value under key; see [Store] and [Seal].
func (s *sealed) Delete(ctx context.Context, key string) error {
	if err := s.mayReplace(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return s.Store.Delete(ctx, key)
}

// mayReplace returns an error unless nothing is stored under key, or something
// that Get could return.
func (s *sealed) mayReplace(ctx context.Context, key string) error {
	value, err := s.Store.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.decode(value)
	return err
}

func (s *sealed) encode(data []byte) ([]byte, error) {
	if len(s.recipients) == 0 {
		if isAge(data) {
			return nil, errors.New("the value is an age file already and could not be told from an encrypted one")
		}
		return data, nil
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.recipients...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return out.Bytes(), nil
}

func (s *sealed) decode(value []byte) ([]byte, error) {
	switch {
	case len(s.identities) == 0 && isAge(value):
		return nil, fmt.Errorf("%w: it is encrypted; set encryption.age_identity to the identity it was written with", ErrUnreadable)
	case len(s.identities) == 0:
		return value, nil
	case !isAge(value):
		return nil, fmt.Errorf("%w: it was stored without encryption; remove encryption.age_identity to use it as it is, "+
			"or give the encrypted storage a directory or schema of its own", ErrUnreadable)
	}
	r, err := age.Decrypt(bytes.NewReader(value), s.identities...)
	var mismatch *age.NoIdentityMatchError
	if errors.As(err, &mismatch) {
		return nil, fmt.Errorf("%w: it was encrypted to another identity; set encryption.age_identity to that one, "+
			"add that one on a line below the new one, or have its owner list this one's public part in encryption.age_recipients and store the value again", ErrUnreadable)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it is damaged; restore it from a backup: %w", ErrUnreadable, err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%w: it is damaged; restore it from a backup: %w", ErrUnreadable, err)
	}
	return data, nil
}

func isAge(value []byte) bool { return bytes.HasPrefix(value, []byte(ageIntro)) }
