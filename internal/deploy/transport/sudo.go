package transport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// Become says as whom commands run and files are written on the far side.
type Become struct {
	User     string      // default root
	Password secret.Text // of the user who logs in; empty when sudo asks for none
}

// ErrSudo says that sudo did not run a command.
var ErrSudo = errors.New("sudo did not run the command")

// prepare is what every command on the far side runs in. Tools speak English, so
// that their words can be understood here, and keep the machine's own character
// set; servers' tools are found although nobody logged in.
const prepare = `LANG=${LC_ALL:-${LANG:-C}}; unset LC_ALL LANGUAGE; LC_MESSAGES=C; PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export LANG LC_MESSAGES PATH; `

// begin lets what follows be told from what start-up files said, and names the
// process.
const begin = `echo "` + mark + `$$"; echo "` + mark + `$$" >&2; `

// A command of ours has stdout and stderr apart; of a user's command they are one
// stream, in the order they came.
const (
	plainScript = prepare + begin + `exec "$@"`
	mixedScript = prepare + begin + `exec "$@" 2>&1`
)

// elevated runs commands on a link, as another user where that is wanted.
type elevated struct {
	link   *link
	become *Become

	proven atomic.Bool // sudo took the password
	mu     sync.Mutex
	asked  map[string]bool // programs for which sudo wanted the password
}

// sudo returns the argument list that runs argv as the user.
//
// Whether sudo asks for the password depends on the command (NOPASSWD). When it
// does not ask, a password on stdin would be read by the command and could end
// up in a file. So it is sent only after sudo has refused the very same command
// for the lack of one, without looking at passwords it remembers (-k).
func (e *elevated) sudo(argv []string, withPassword bool) []string {
	user := e.become.User
	if user == "" {
		user = "root"
	}
	if withPassword {
		return append([]string{"sudo", "-S", "-k", "-p", "", "-u", user, "--"}, argv...)
	}
	if e.become.Password.IsEmpty() {
		return append([]string{"sudo", "-n", "-u", user, "--"}, argv...)
	}
	return append([]string{"sudo", "-n", "-k", "-u", user, "--"}, argv...)
}

// call is a command before sudo and quoting.
type call struct {
	argv  []string
	stdin []byte
	limit int
	mixed bool // a user's command, see above
	deaf  bool // it is known not to read stdin
}

// run executes a call and, where sudo wants a password, executes it again with
// one: the first time the command did not run.
func (e *elevated) run(ctx context.Context, c call) (ended, error) {
	if e.become == nil {
		return e.exec(ctx, c, c.argv, c.stdin)
	}
	if !e.become.Password.IsEmpty() && c.deaf && e.known(c.argv[0]) {
		return e.withPassword(ctx, c)
	}
	result, err := e.exec(ctx, c, e.sudo(c.argv, false), c.stdin)
	if err != nil || !wantsPassword(result) {
		return result, err
	}
	if e.become.Password.IsEmpty() {
		return result, fmt.Errorf("%w %s: it wants a password, and none is set. Set sudo's password, or allow the command without one (NOPASSWD)", ErrSudo, c.argv[0])
	}
	e.learn(c.argv[0])
	return e.withPassword(ctx, c)
}

// withPassword sends the password and then stdin. Where the password is wrong
// sudo takes what follows for further tries, so it is tried alone first.
func (e *elevated) withPassword(ctx context.Context, c call) (ended, error) {
	password := e.become.Password.Reveal() + "\n"
	if len(c.stdin) > 0 && !e.proven.Load() {
		try := call{argv: []string{"sudo", "-S", "-k", "-p", "", "-v"}, limit: MaxOutput}
		result, err := e.exec(ctx, try, try.argv, []byte(password))
		if err == nil {
			err = failure(try.argv, result)
		}
		if err != nil {
			return result, err
		}
	}
	result, err := e.exec(ctx, c, e.sudo(c.argv, true), append([]byte(password), c.stdin...))
	if err == nil && result.code == 1 && strings.Contains(words(result), "incorrect password attempt") {
		return result, fmt.Errorf("%w %s: the password is wrong", ErrSudo, c.argv[0])
	}
	if err == nil && result.code == 0 {
		e.proven.Store(true)
	}
	return result, err
}

func (e *elevated) known(program string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked[program]
}

func (e *elevated) learn(program string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.asked == nil {
		e.asked = map[string]bool{}
	}
	e.asked[program] = true
}

// wantsPassword recognizes sudo -n that would have had to ask.
func wantsPassword(result ended) bool {
	return result.code == 1 && strings.TrimSpace(words(result)) == "sudo: a password is required"
}

// words are what a command said, wherever it said it.
func words(result ended) string { return string(result.out) + string(result.errs) }

// exec runs a finished argument list.
func (e *elevated) exec(ctx context.Context, c call, argv []string, stdin []byte) (ended, error) {
	script := plainScript
	if c.mixed {
		script = mixedScript
	}
	line, err := shellLine(append([]string{"sh", "-c", script, "sh"}, argv...))
	if err != nil {
		return ended{}, err
	}
	// In the place of the login shell it leads the process group, see kill.
	j := job{line: "exec " + line, stdin: stdin, limit: c.limit}
	if c.mixed {
		process := make(chan string, 1)
		j.first = func(number string) { process <- number }
		j.kill = func(ctx context.Context) { e.kill(ctx, process) }
	}
	return e.link.exec(ctx, j)
}

// kill ends a command with all it started: sshd made it the leader of a process
// group. The signal that SSH has for that does not reach another user's process,
// and some servers do not know it.
func (e *elevated) kill(ctx context.Context, process <-chan string) {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	var number string
	select {
	case number = <-process:
	case <-ctx.Done():
		return
	}
	if number == "" || strings.Trim(number, "0123456789") != "" {
		return
	}
	// That there is nobody left to kill is what is wanted.
	_, _ = e.run(ctx, call{argv: []string{"kill", "-KILL", "--", "-" + number}, limit: MaxOutput, deaf: true})
}

// toolError is a tool that failed, in its own words.
type toolError struct {
	argv   []string
	words  string
	reason error // what the words mean; may be nil
}

func (t *toolError) Error() string { return t.argv[0] + ": " + t.words }

func (t *toolError) Unwrap() error { return t.reason }

// failure turns a tool that exited with something other than 0 into an error.
func failure(argv []string, result ended) error {
	if result.code == 0 {
		return nil
	}
	text := strings.TrimSpace(words(result))
	if text == "" {
		text = fmt.Sprintf("exited with %d", result.code)
	}
	if argv[0] == "sudo" && strings.Contains(text, "incorrect password attempt") {
		return fmt.Errorf("%w: the password is wrong", ErrSudo)
	}
	for _, refusal := range []string{"sudo: ", " is not in the sudoers file", " is not allowed to execute ", " may not run sudo "} {
		if strings.Contains(text, refusal) {
			return fmt.Errorf("%w %s: %s", ErrSudo, argv[0], strings.TrimPrefix(text, "sudo: "))
		}
	}
	text = strings.TrimPrefix(text, argv[0]+": ")
	return &toolError{argv, text, meaning(text)}
}

// meaning knows what the system's errors are called in English.
func meaning(text string) error {
	for name, reason := range map[string]error{
		"No such file or directory": fs.ErrNotExist,
		"File exists":               fs.ErrExist,
		"Permission denied":         fs.ErrPermission,
		"Operation not permitted":   fs.ErrPermission,
		"No space left on device":   syscall.ENOSPC,
		"Disk quota exceeded":       syscall.EDQUOT,
		"Read-only file system":     syscall.EROFS,
		"Input/output error":        syscall.EIO,
		"Is a directory":            syscall.EISDIR,
		"Not a directory":           syscall.ENOTDIR,
	} {
		if strings.Contains(text, name) {
			return reason
		}
	}
	return nil
}
