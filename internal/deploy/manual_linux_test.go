package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// obey runs commands of a page as a person would, who types the password of
// Tomcat's manager.
func obey(t *testing.T, directory, script string) string {
	t.Helper()
	script = strings.ReplaceAll(script, "curl -u "+deploytest.ManagerUser, "curl -sS -u "+deploytest.ManagerUser+":"+deploytest.ManagerPassword)
	command := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
	command.Dir, command.WaitDelay = directory, time.Second
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, out, script)
	}
	return string(out)
}

// The pages are obeyed, command by command, with the real servers: what they say
// installs the certificate, shows it, and brings the old one back.
func TestManual_obeyed(t *testing.T) {
	needOpenSSL(t)
	for sentence, which := range map[string]string{
		"apache": "apache", "haproxy": "haproxy by its runtime API", "haproxy by a signal": "haproxy by a signal", "tomcat": "tomcat with PEM files",
	} {
		t.Run(sentence, func(t *testing.T) {
			c := newConformance(t, members()[which], false)
			options := map[string]any{"socket": c.server.Socket}
			switch sentence {
			case "haproxy by a signal":
				options = map[string]any{"pid_file": c.server.PIDFile}
			case "tomcat":
				options = map[string]any{"manager": map[string]any{"url": c.server.Manager, "username": deploytest.ManagerUser}}
			}
			obeyed(t, c.fixture, options)
		})
	}
	t.Run("nginx", func(t *testing.T) { obeyed(t, newFixture(t), nil) })
	t.Run("nginx with a key that waits", func(t *testing.T) {
		b := newBorn(t, transport.Local{})
		m := Manual{Target: b.job.Target, Material: b.job.Material, Proof: b.job.Proof.Endpoint}
		text, err := m.Markdown(t.Context(), "zh")
		if err != nil {
			t.Fatal(err)
		}
		forward, _, _ := steps(t, text)
		obey(t, t.TempDir(), forward)
		b.eventually(t, b.next)
	})
}

// A pair goes to four files, and comes back from them.
func TestManual_obeyedForAPair(t *testing.T) {
	needOpenSSL(t)
	ca := newSM2Authority(t)
	before, fresh := ca.pair(t, name), ca.pair(t, name)
	n := newTLCPNginx(t, before)
	n.paths.Binary = "true" // of nginx only the files are of interest
	for _, language := range ManualLanguages() {
		m := Manual{Target: n.target(fresh), Material: fresh.signing, KeyID: "a", PairID: "b", Proof: Endpoint{n.address, name}}
		text, err := m.Markdown(t.Context(), language)
		if err != nil {
			t.Fatal(err)
		}
		directory := t.TempDir()
		for file, key := range map[string]pki.Key{"private.key": fresh.signing.Key, "encryption.key": fresh.encryption.Key} {
			encoded, err := key.PEM()
			if err == nil {
				err = os.WriteFile(filepath.Join(directory, file), encoded, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		forward, _, back := steps(t, text)
		for _, step := range []struct {
			commands string
			want     sm2Pair
		}{{forward, fresh}, {back, before}} {
			obey(t, directory, step.commands)
			if err := n.load(); err != nil {
				t.Fatal(err)
			}
			n.serves(step.want)
		}
	}
}

func obeyed(t *testing.T, f *fixture, options map[string]any) {
	t.Helper()
	for language, m := range map[string]Manual{
		"en": {Material: f.fresh}, "zh": {Material: f.issue(t)},
	} {
		m.Target, m.Options, m.KeyGiven, m.Proof = f.job.Target, options, true, f.job.Proof.Endpoint
		text, err := m.Markdown(t.Context(), language)
		if err != nil {
			t.Fatal(err)
		}
		forward, proof, back := steps(t, text)
		directory := t.TempDir()
		key, err := m.Material.Key.PEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(directory, "private.key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := Probe(t.Context(), f.job.Proof.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		obey(t, directory, forward)
		f.eventually(t, m.Material)
		shown := strings.ToLower(strings.ReplaceAll(obey(t, directory, proof), ":", ""))
		if want := pki.Fingerprint(m.Material.Chain[0]); !strings.Contains(shown, want) {
			t.Errorf("the proof shows %s, want %s", shown, want)
		}
		// The way back, and then the third step again.
		obey(t, directory, back)
		obey(t, directory, thirdStep(text))
		f.eventually(t, Material{Chain: before.Chain})
	}
}

// thirdStep are the commands that load the files.
func thirdStep(page string) string {
	_, page, _ = strings.Cut(page, "## 3.")
	page, _, _ = strings.Cut(page, "## 4.")
	var script strings.Builder
	for n, part := range strings.Split(page, "```") {
		if rest, ok := strings.CutPrefix(part, "sh\n"); ok && n%2 == 1 {
			script.WriteString(rest)
		}
	}
	return script.String()
}

// eventually waits until the server serves a certificate for good.
func (f *fixture) eventually(t *testing.T, want Material) {
	t.Helper()
	proof := f.job.Proof.withDefaults()
	if _, err := Prove(t.Context(), proof, serves(proof.Endpoint, want.Chain)); err != nil {
		t.Fatal(err)
	}
}
