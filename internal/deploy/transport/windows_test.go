package transport

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

func scripts() map[string]string {
	return map[string]string{
		"read": scriptRead(), "stage": scriptStage(), "rename": scriptRename(), "remove": scriptRemove(),
		"list": scriptList(), "check": scriptCheck(), "run": scriptRun(),
	}
}

// TestScripts_fitIntoACommandLine: cmd.exe takes 8191 characters.
func TestScripts_fitIntoACommandLine(t *testing.T) {
	for name, script := range scripts() {
		if line := powerShellLine(script); len(line) > 8191 {
			t.Errorf("the command line of %s has %d characters", name, len(line))
		}
		for _, c := range script {
			if c > 126 {
				t.Errorf("the script %s has the character %q, which depends on a code page", name, c)
			}
		}
		if !strings.HasPrefix(script, "# certificate "+name+"\n") {
			t.Errorf("the script %s does not say its name", name)
		}
		for _, pair := range []string{"{}", "()", "[]"} {
			if strings.Count(script, pair[:1]) != strings.Count(script, pair[1:]) {
				t.Errorf("the brackets %s of the script %s do not match", pair, name)
			}
		}
	}
}

func TestModeOf(t *testing.T) {
	for sentence, test := range map[string]struct {
		list string
		want fs.FileMode
	}{
		"the system and the owner": {privateList, 0o600},
		"a certain account":        {"D:P(A;;FA;;;SY)(A;;0x1301bf;;;S-1-5-21-1-2-3-1001)", 0o600},
		"all users":                {"D:AI(A;ID;FA;;;SY)(A;ID;0x1200a9;;;BU)", 0o644},
		"everyone":                 {"D:(A;;FR;;;WD)", 0o644},
		"who is denied":            {"D:(D;;FA;;;WD)(A;;FA;;;SY)", 0o600},
		"users under a condition":  {`D:(XA;;FR;;;WD;(@User.x == 1))(A;;FA;;;SY)`, 0o600},
		"no list":                  {"", 0o600},
	} {
		t.Run(sentence, func(t *testing.T) {
			if got := modeOf(test.list); got != test.want {
				t.Errorf("mode = %o, want %o", got, test.want)
			}
		})
	}
}

func TestReadReply(t *testing.T) {
	line := func(reply windowsReply) string {
		text, err := json.Marshal(reply)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(text) + "\r\n"
	}
	for sentence, test := range map[string]struct {
		out  string
		is   error
		want string
	}{
		"what is not there":    {line(windowsReply{Error: "x does not exist.", Kind: "missing"}), fs.ErrNotExist, "x does not exist"},
		"what is not allowed":  {line(windowsReply{Error: "no", Kind: "denied"}), fs.ErrPermission, "no"},
		"a full disk":          {line(windowsReply{Error: "full", Kind: "full"}), syscall.ENOSPC, "full"},
		"a disk for reading":   {line(windowsReply{Error: "ro", Kind: "readonly"}), syscall.EROFS, "ro"},
		"a file in use":        {line(windowsReply{Error: "in use", Kind: "busy"}), nil, "in use"},
		"nothing":              {"", nil, "no answer"},
		"what is no answer":    {"secret-content", nil, "cannot be read"},
		"an answer cut off":    {line(windowsReply{Path: "x"})[:10], nil, "cannot be read"},
		"content that is none": {line(windowsReply{Path: "x"}) + "***", nil, "cannot be read"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := readReply(ended{out: []byte(test.out), errs: []byte("complaint"), code: 1})
			if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want %v and %q", err, test.is, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret-content") {
				t.Errorf("what may be content is in %v", err)
			}
		})
	}
}
