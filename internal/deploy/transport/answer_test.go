package transport

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
)

// FuzzCapture cuts what comes in two places: where it is cut must not matter.
func FuzzCapture(f *testing.F) {
	f.Add("welcome\n", "output", uint16(3), uint16(20))
	f.Add("", "", uint16(0), uint16(0))
	f.Add("certificate-command-beg", "\x00\n\n", uint16(25), uint16(27))
	f.Fuzz(func(t *testing.T, noise, output string, first, second uint16) {
		if strings.Contains(noise, mark) {
			t.Skip()
		}
		whole := noise + mark + "42\n" + output
		a := min(int(first), len(whole))
		b := min(a+int(second), len(whole))
		for _, limit := range []int{4, 1 << 20} {
			var number string
			c := &capture{limit: limit, first: func(told string) { number = told }}
			for _, part := range []string{whole[:a], whole[a:b], whole[b:]} {
				if n, err := c.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatalf("write = %d, %v", n, err)
				}
			}
			if want := output[:min(len(output), limit)]; len(noise) < maxNoise && (number != "42" || string(c.bytes()) != want) {
				t.Errorf("kept %q of process %q, want %q of 42", c.bytes(), number, want)
			}
		}
	})
}

func TestCapture_keepsNoFloodOfNoise(t *testing.T) {
	c := &capture{limit: 1 << 30}
	for range 100 {
		if _, err := c.Write(bytes.Repeat([]byte("x"), 32<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(c.bytes()); got > maxNoise {
		t.Errorf("kept %d bytes of noise, want at most %d", got, maxNoise)
	}
}

// FuzzAnswers reads what a machine may say.
func FuzzAnswers(f *testing.F) {
	f.Add("-rw-r----- 1 0 12 5 Nov 24 22:00 /etc/key.pem")
	f.Add("e30=\r\nAAAA")
	f.Add(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault/></s:Body></s:Envelope>`)
	f.Fuzz(func(t *testing.T, text string) {
		if entry, err := parseListing(text); err == nil && entry.mode&^(fs.ModePerm|fs.ModeType) != 0 {
			t.Errorf("%q has the mode %v", text, entry.mode)
		}
		if reply, err := readReply(ended{out: []byte(text)}); err == nil && reply.Error != "" {
			t.Errorf("%q is no error", text)
		}
		if fault("500", []byte(text)) == nil {
			t.Errorf("%q is no fault", text)
		}
	})
}

func TestParseListing(t *testing.T) {
	for sentence, test := range map[string]struct {
		text string
		want posixEntry
	}{
		"a file":                        {"-rw-r----- 2 0 12 5 Nov 24 22:00 /etc/key.pem\n", posixEntry{mode: 0o640, uid: 0, gid: 12, links: 2}},
		"with an SELinux label":         {"-rw-------. 1 3 4 5 Nov 24 22:00 /k\n", posixEntry{mode: 0o600, uid: 3, gid: 4, links: 1}},
		"with an access list":           {"-rw-r--r--+ 1 3 4 5 Nov 24 22:00 /k\n", posixEntry{mode: 0o644, uid: 3, gid: 4, links: 1}},
		"a directory with a sticky bit": {"drwxrwxrwt 9 0 0 4096 Nov 24 22:00 /tmp\n", posixEntry{mode: fs.ModeDir | 0o777}},
		"bits without x":                {"-rwSr-S--T 1 0 0 5 Nov 24 22:00 /k\n", posixEntry{mode: 0o640, links: 1}},
		"a link":                        {"lrwxrwxrwx 1 0 0 4 Nov 24 22:00 /l -> /k\n", posixEntry{mode: fs.ModeSymlink | 0o777}},
		"a pipe":                        {"prw------- 1 0 0 0 Nov 24 22:00 /p\n", posixEntry{mode: fs.ModeNamedPipe | 0o600}},
		"a device":                      {"crw-rw-rw- 1 0 0 1, 3 Nov 24 22:00 /dev/null\n", posixEntry{mode: fs.ModeDevice | 0o666}},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got, err := parseListing(test.text); err != nil || got != test.want {
				t.Errorf("entry = %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}
