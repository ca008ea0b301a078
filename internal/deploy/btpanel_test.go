package deploy

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/deploytest"
	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// panelFixture is a fake panel that serves old, and a job to deploy fresh.
func panelFixture(t *testing.T, key string) (*fixture, *deploytest.Panel) {
	t.Helper()
	now := time.Now()
	f := &fixture{now: now, ca: deploytest.NewAuthority(t, now), log: &safeBuffer{}, machine: &counting{Transport: transport.Local{}}}
	f.old, f.fresh = f.issue(t), f.issue(t)
	panel := deploytest.StartFakePanel(t, f.old.Chain, f.old.Key)
	target, err := NewBTPanel(BTPanelOptions{URL: panel.URL, APIKey: secret.New(key), Site: deploytest.PanelSite})
	if err != nil {
		t.Fatal(err)
	}
	f.job = Job{
		Host: "test", Machine: f.machine, Target: target, Material: f.fresh, Now: now, Locks: &Locks{},
		Proof:  Proof{Endpoint: Endpoint{panel.Address, name}, Timeout: time.Second},
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	t.Cleanup(func() {
		noKeys(t, f.log.String(), f.old.Key, f.fresh.Key)
		if strings.Contains(f.log.String(), deploytest.PanelKey) {
			t.Error("the API key is in the log")
		}
	})
	return f, panel
}

func TestBTPanel_replacesAndProves(t *testing.T) {
	t.Parallel()
	f, _ := panelFixture(t, deploytest.PanelKey)
	for _, changed := range []bool{true, false} {
		result, err := Deploy(t.Context(), f.job)
		if err != nil || result.Changed != changed || result.Proven != ByHandshake {
			t.Fatalf("result = %+v, %v; want changed: %t", result, err, changed)
		}
		f.wantServed(t, f.fresh)
	}
	seen, err := Observe(t.Context(), f.job)
	if err != nil || len(seen.Drift)+len(seen.Warnings) != 0 {
		t.Errorf("observed %+v, %v; want no drift", seen, err)
	}
	f.job.Material = f.issue(t)
	if seen, err = Observe(t.Context(), f.job); err != nil || len(seen.Drift) != 1 {
		t.Errorf("observed %+v, %v; want drift", seen, err)
	}
}

func TestBTPanel_rollsBack(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		spoil func(*deploytest.Panel)
		want  string
	}{
		"the panel finds the configuration wrong": {func(p *deploytest.Panel) { p.Refuse.Store(true) }, "检测到配置文件有错误"},
		"the panel says yes and loads nothing":    {func(p *deploytest.Panel) { p.Deaf.Store(true) }, "serves another certificate"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			f, panel := panelFixture(t, deploytest.PanelKey)
			test.spoil(panel)
			_, err := Deploy(t.Context(), f.job)
			var failure *RollbackError
			if !errors.As(err, &failure) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "the old certificate is served") {
				t.Errorf("error = %v, want a rollback after %q", err, test.want)
			}
			f.wantServed(t, f.old)
		})
	}
}

func TestBTPanel_refusals(t *testing.T) {
	t.Parallel()
	f, _ := panelFixture(t, "wrong")
	if _, err := Deploy(t.Context(), f.job); !errors.Is(err, ErrAdmin) || !strings.Contains(err.Error(), "allow the address that asks") {
		t.Errorf("a wrong API key: %v, want ErrAdmin and what to do", err)
	}
	f.wantServed(t, f.old)
	f, _ = panelFixture(t, deploytest.PanelKey)
	f.job.Material.Key = pki.Key{}
	if _, err := Deploy(t.Context(), f.job); !errors.Is(err, pki.ErrNoKey) {
		t.Errorf("without a key: %v, want ErrNoKey", err)
	}
	for _, options := range []BTPanelOptions{{URL: "https://127.0.0.1:8888"}, {URL: "127.0.0.1:8888", Site: "x"}} {
		if _, err := NewBTPanel(options); err == nil {
			t.Errorf("%+v is accepted", options)
		}
	}
}
