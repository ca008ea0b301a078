package transport

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// shells are those of which at least the first is everywhere.
func shells() []string {
	var found []string
	for _, name := range []string{"sh", "bash", "dash", "zsh", "ksh", "mksh", "busybox", "fish", "tcsh"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	return found
}

func TestShellLine(t *testing.T) {
	for sentence, test := range map[string]struct {
		argv []string
		want string
	}{
		"a plain word stays as it is":         {[]string{"nginx", "-s", "reload", "/etc/nginx/a.pem"}, "nginx -s reload /etc/nginx/a.pem"},
		"nothing is something":                {[]string{"a", ""}, "a ''"},
		"spaces and signs are quoted":         {[]string{"a b$c"}, "'a b$c'"},
		"a quote stands outside of quotes":    {[]string{"it's"}, `'it'\''s'`},
		"a tilde and an equals sign are text": {[]string{"~root", "of=x"}, "'~root' 'of=x'"},
		"backslash and bang":                  {[]string{`a\b!`}, `'a'\\'b'\!`},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got, err := shellLine(test.argv); err != nil || got != test.want {
				t.Errorf("line = %s, %v; want %s", got, err, test.want)
			}
		})
	}
	if _, err := shellLine([]string{"a\x00b"}); err == nil {
		t.Error("quoted a NUL byte")
	}
}

func FuzzShellLine(f *testing.F) {
	f.Add("it's", `$(id) \ "x"`, "\n;|&*?[a]~#")
	f.Add("", " ", "!history ^x")
	f.Add("\xff\xfe", "=cmd", "-n")
	shells := shells()
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if strings.Contains(a+b+c, "\x00") {
			t.Skip()
		}
		want := []string{a, b, c}
		line, err := shellLine(append([]string{"printf", `%s\0`, "."}, want...))
		if err != nil {
			t.Fatal(err)
		}
		for _, shell := range shells {
			arguments := []string{"-c", line}
			switch {
			case strings.HasSuffix(shell, "busybox"):
				arguments = append([]string{"sh"}, arguments...)
			case strings.HasSuffix(shell, "tcsh") && strings.Contains(line, "\n"):
				continue
			}
			out, err := exec.Command(shell, arguments...).Output()
			if err != nil {
				t.Fatalf("%s -c %q: %v", shell, line, err)
			}
			got := bytes.Split(bytes.TrimSuffix(out, []byte{0}), []byte{0})[1:]
			if !slices.EqualFunc(got, want, func(g []byte, w string) bool { return string(g) == w }) {
				t.Errorf("%s reads %q as %q, want %q", shell, line, got, want)
			}
		}
	})
}

func TestWindowsLine(t *testing.T) {
	for sentence, test := range map[string]struct {
		arguments []string
		want      string
	}{
		"a plain word stays as it is":             {[]string{"-t", `C:\nginx\conf`}, `-t C:\nginx\conf`},
		"nothing is something":                    {[]string{""}, `""`},
		"a space is quoted":                       {[]string{`C:\Program Files\x`}, `"C:\Program Files\x"`},
		"backslashes before the end are doubled":  {[]string{`a b\`}, `"a b\\"`},
		"a quote is escaped, and what precedes":   {[]string{`a\"b`}, `"a\\\"b"`},
		"backslashes elsewhere stay as they are":  {[]string{`\\server\a b`}, `"\\server\a b"`},
		"arguments are separated by single space": {[]string{"a", "b c", "d"}, `a "b c" d`},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got, err := windowsLine(test.arguments); err != nil || got != test.want {
				t.Errorf("line = %s, %v; want %s", got, err, test.want)
			}
		})
	}
}

// FuzzWindowsLine takes the line apart by the rules of CommandLineToArgvW.
func FuzzWindowsLine(f *testing.F) {
	f.Add(`a"b`, `c:\x y\`, "")
	f.Add(`\\\"`, `"`, `\`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if strings.Contains(a+b+c, "\x00") {
			t.Skip()
		}
		want := []string{a, b, c}
		line, err := windowsLine(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := takeApart(line); !slices.Equal(got, want) {
			t.Errorf("%q is read as %q, want %q", line, got, want)
		}
	})
}

func takeApart(line string) []string {
	var arguments []string
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		var one []byte
		quoted, slashes := false, 0
		i := 0
		for ; i < len(line) && (quoted || line[i] != ' ' && line[i] != '\t'); i++ {
			switch {
			case line[i] == '\\':
				slashes++
				one = append(one, '\\')
				continue
			case line[i] == '"' && slashes%2 == 1:
				one = append(one[:len(one)-(slashes+1)/2], '"')
			case line[i] == '"':
				one = one[:len(one)-slashes/2]
				quoted = !quoted
			default:
				one = append(one, line[i])
			}
			slashes = 0
		}
		line = line[i:]
		arguments = append(arguments, string(one))
	}
	return arguments
}

func TestCheckBatch(t *testing.T) {
	if err := checkBatch([]string{`C:\tomcat\bin\x.bat`, "a b", `C:\y`}); err != nil {
		t.Error(err)
	}
	if err := checkBatch([]string{`C:\x.CMD`, "a&calc"}); err == nil {
		t.Error("passed an ampersand to a batch file")
	}
	if err := checkBatch([]string{`C:\x.exe`, "a&b"}); err != nil {
		t.Error(err)
	}
}
