package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const listing = `> NOERROR a.example TXT 0.000101
> NOERROR b.example TXT 0.000300
> T c.example TXT 0.000000
[Status] Testing complete (end of file)

Statistics:

  Queries sent:         4
  Queries completed:    3 (75.00%)
  Queries lost:         1 (25.00%)

  Response codes:       NOERROR 2 (66.67%), SERVFAIL 1 (33.33%)
  Run time (s):         0.000500
  Queries per second:   6000.500000
`

func TestReadPerf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(path, []byte(listing), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readPerf(path)
	want := load{completed: 3, wrong: 1, lost: 1, perSecond: 6000.5, p50: 300, p99: 300}
	got.p50, got.p99 = float64(int(got.p50+0.5)), float64(int(got.p99+0.5))
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	none := strings.ReplaceAll(listing, "completed:    3", "completed:    0")
	if err := os.WriteFile(path, []byte(none), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readPerf(path); !errors.Is(err, errAnswer) {
		t.Errorf("no reply at all: %v, want %v", err, errAnswer)
	}
}

func TestCheckTXT(t *testing.T) {
	name := owner(3)
	reply := func(flags, rcode byte, text string) []byte {
		out := question(7, name)
		out[2], out[3], out[7] = flags, rcode, 1
		out = append(out, 0xc0, headerSize, 0, typeTXT, 0, classIN, 0, 0, 0, 5, 0, byte(len(text)+1), byte(len(text)))
		return append(out, text...)
	}
	for sentence, c := range map[string]struct {
		reply []byte
		good  bool
	}{
		"the record":              {reply(0x84, 0, value(name)), true},
		"the record of another":   {reply(0x84, 0, value(owner(4))), false},
		"no authority":            {reply(0x80, 0, value(name)), false},
		"an error":                {reply(0x84, 2, value(name)), false},
		"the question once again": {question(7, name), false},
	} {
		if err := checkTXT(c.reply, 7, name); (err == nil) != c.good {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// The most that one message fills our server with fits a message over TCP.
func TestUpdate_fits(t *testing.T) {
	names := make([]string, perFill)
	for n := range names {
		names[n] = owner(n)
	}
	msg := sign(update(1, names), []byte("0123456789abcdef"), time.Unix(1, 0))
	if len(msg) > 65535 {
		t.Errorf("%d bytes", len(msg))
	}
	if got := binary.BigEndian.Uint16(msg[8:]); got != perFill || !bytes.Contains(msg, []byte(value(owner(perFill-1)))) {
		t.Errorf("%d updates", got)
	}
}

func TestProcess(t *testing.T) {
	pids := family(os.Getpid())
	if len(pids) == 0 || pids[0] != os.Getpid() {
		t.Fatalf("family %v", pids)
	}
	used, err := cpuTime(pids[:1])
	if err != nil || used < 0 {
		t.Errorf("CPU time %v, %v", used, err)
	}
	if bytes, err := memory(pids[:1]); err != nil || bytes < 1<<20 {
		t.Errorf("memory %d, %v", bytes, err)
	}
}

func TestMedian(t *testing.T) {
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("%v, want 2", got)
	}
	if got := median(nil); got != 0 {
		t.Errorf("of nothing %v", got)
	}
}
