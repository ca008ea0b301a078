package order

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

func TestIntent_key(t *testing.T) {
	base := Intent{Issuer: "ca", Names: []string{"a.example.com", "b.example.com"}, Algorithm: pki.ECDSAP256, Replaces: "f"}
	same := map[string]func(*Intent){
		"nothing changed":            func(*Intent) {},
		"the names in another order": func(i *Intent) { i.Names = []string{"b.example.com", "a.example.com"} },
		"the names in upper case":    func(i *Intent) { i.Names = []string{"A.EXAMPLE.com", "b.example.com"} },
		"a name twice":               func(i *Intent) { i.Names = []string{"b.example.com", "a.example.com", "B.example.com"} },
		"no request, but not nil":    func(i *Intent) { i.Request = []byte{} },
	}
	other := map[string]func(*Intent){
		"another CA":          func(i *Intent) { i.Issuer = "other" },
		"a name less":         func(i *Intent) { i.Names = i.Names[:1] },
		"a name more":         func(i *Intent) { i.Names = append(i.Names, "c.example.com") },
		"the wildcard":        func(i *Intent) { i.Names = []string{"*.example.com", "b.example.com"} },
		"another key type":    func(i *Intent) { i.Algorithm = pki.RSA2048 },
		"a key":               func(i *Intent) { i.KeyID = "k" },
		"a request":           func(i *Intent) { i.Request = []byte{1} },
		"another predecessor": func(i *Intent) { i.Replaces = "g" },
		"no predecessor":      func(i *Intent) { i.Replaces = "" },
	}
	changed := func(change func(*Intent)) Intent {
		i := base
		i.Names = append([]string(nil), base.Names...)
		change(&i)
		return i
	}
	for sentence, change := range same {
		if got := changed(change).Key(); got != base.Key() {
			t.Errorf("%s: key %s, want %s", sentence, got, base.Key())
		}
	}
	seen := map[string]string{base.Key(): "the intent itself"}
	for sentence, change := range other {
		key := changed(change).Key()
		if seen[key] != "" {
			t.Errorf("%s and %s have the same key", sentence, seen[key])
		}
		seen[key] = sentence
		if len(key) != 64 || strings.Trim(key, "0123456789abcdef") != "" {
			t.Errorf("%s: key %q, want 64 hex digits", sentence, key)
		}
	}
	if base.Names[0] != "a.example.com" {
		t.Error("the names were changed")
	}
}

// The key of an intent names a file that outlives the version of the provider.
func TestIntent_keyIsTheSameInEveryVersion(t *testing.T) {
	i := Intent{Issuer: "acme:https://ca.example/dir", Names: []string{"b.example.com", "A.example.com"}, Algorithm: pki.ECDSAP256, Replaces: "00ff"}
	const want = "7c17e5fb6b1d8bf6a610bdd367eb0e589facc8b0e138c1a93c6895cc2a5a0297"
	if got := i.Key(); got != want {
		t.Errorf("key %s, want %s: journals of released versions would not be found again", got, want)
	}
}

func TestJournal_survivesEncoding(t *testing.T) {
	full := Journal{
		Intent: Intent{Issuer: "ca", Names: []string{"a"}, Algorithm: pki.RSA2048, KeyID: "k", Request: []byte{1}, Replaces: "f"}, Lineage: "l", KeyID: "k",
		Request: []byte{1, 2}, CreatedAt: start, Predecessor: []byte{3}, PredecessorIssuer: "p", NotAfter: start.Add(time.Hour), Status: StatusIssuing,
		Detail: "d", OrderID: "o", Records: []Record{{"k", "d", "n", "t", "v", "c"}}, Progress: json.RawMessage(`{"phase":"poll"}`), Certificate: []byte("c"),
		NotBefore: start, DatesRefused: true, Failures: 1, LastFailure: start,
		Encryption: []byte("e"), EncryptionKeyID: "ek", Paid: true, Obligations: []Obligation{{"issuance", "ca", "open", start, "d"}},
		ExpectedBy: start, ServiceEnd: start,
	}
	value := reflect.ValueOf(full)
	for n := range value.NumField() {
		if field := value.Type().Field(n).Name; value.Field(n).IsZero() != (field == "Wait" || field == "Supplies" || field == "Superseded") {
			t.Errorf("the test leaves %s out", field)
		}
	}
	for _, j := range []Journal{full, {}} {
		text, err := encodeJournal(j)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeJournal(text)
		if err != nil {
			t.Fatal(err)
		}
		var compact strings.Builder
		fmt.Fprint(&compact, string(got.Progress))
		got.Progress = json.RawMessage(strings.NewReplacer("\n", "", " ", "").Replace(compact.String()))
		if len(j.Progress) == 0 {
			got.Progress = nil
		}
		if !reflect.DeepEqual(got, j) {
			t.Errorf("read again: %+v, want %+v", got, j)
		}
	}
}

func TestLoad(t *testing.T) {
	keeper, intent := newMemory(), wish("a.example.com").Intent
	if _, err := Load(t.Context(), keeper, intent); !errors.Is(err, ErrNoJournal) {
		t.Errorf("nothing there: %v, want %v", err, ErrNoJournal)
	}
	for sentence, test := range map[string]struct{ text, problem string }{
		"a newer version": {`{"version":2,"status":"planned"}`, "version 2"},
		"no version":      {`{"status":"planned"}`, "version 0"},
		"garbage":         {`{"version":1,`, "parse the order's journal"},
	} {
		keeper.values[journalKey(intent)] = []byte(test.text)
		if _, err := Load(t.Context(), keeper, intent); err == nil || !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %v, want %q in it", sentence, err, test.problem)
		}
		ca := newCA(t)
		if _, _, err := newRunner(ca, keeper).Run(t.Context(), Wish{Intent: intent, Wait: time.Minute}); err == nil || ca.steps != 0 {
			t.Errorf("%s: %v after %d steps, want an error before the first", sentence, err, ca.steps)
		}
		if got := string(keeper.values[journalKey(intent)]); got != test.text {
			t.Errorf("%s: it was replaced by %s", sentence, got)
		}
	}
	if _, err := Load(t.Context(), brokenKeeper{keeper}, intent); !errors.Is(err, errInjected) {
		t.Errorf("a storage that cannot be read: %v, want %v", err, errInjected)
	}
}

type brokenKeeper struct{ *memory }

func (brokenKeeper) Get(context.Context, string) ([]byte, error) { return nil, errInjected }

// What cannot be read is not taken for what is not there.
func TestRun_unreadableStorageIsNotEmpty(t *testing.T) {
	ca, keeper := newCA(t), newMemory()
	mustRun(t, newRunner(ca, keeper), wish("a.example.com"))
	for _, unreadable := range []string{"journals/", "keys/", "lineages/"} {
		runner := newRunner(ca, unreadableKeeper{keeper, unreadable})
		if _, _, err := runner.Run(t.Context(), wish("a.example.com")); !errors.Is(err, errInjected) {
			t.Errorf("%s: %v, want %v", unreadable, err, errInjected)
		}
	}
	wantCounts(t, ca, 1, 1, 0)
}

type unreadableKeeper struct {
	*memory
	prefix string
}

func (u unreadableKeeper) Get(ctx context.Context, key string) ([]byte, error) {
	if strings.HasPrefix(key, u.prefix) {
		return nil, errInjected
	}
	return u.memory.Get(ctx, key)
}

func TestLoadKey_damaged(t *testing.T) {
	keeper := newMemory()
	keeper.values[keyKey("k")] = []byte("SECRET")
	_, err := LoadKey(t.Context(), keeper, "k")
	if !errors.Is(err, pki.ErrNoKey) || !strings.Contains(err.Error(), "k") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("%v, want %v without what is stored", err, pki.ErrNoKey)
	}
}
