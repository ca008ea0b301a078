package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// errNoStatus says that nobody knows how a command ended.
var errNoStatus = errors.New("the server closed the channel without saying how the command ended")

// ended is a command that is over.
type ended struct {
	out, errs []byte // stdout and stderr, the first bytes of each
	code      int    // -1 when a signal ended it
	unread    bool   // it ended before it had read all of stdin
}

// capture keeps the first bytes that come after the line with its mark. What
// comes before was said by the start-up files of the login shell. A command and
// the reader of its late output may meet in it.
type capture struct {
	mu    sync.Mutex
	limit int
	text  []byte
	begun bool
	first func(number string) // told what stands behind the mark; may be nil
}

// heard is a capture for which nothing has to come first.
func heard(limit int) *capture { return &capture{limit: limit, begun: true} }

// mark begins the line before a command's own output, on stdout and stderr.
const mark = "certificate-command-begins "

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun {
		c.text = append(c.text, p[:min(len(p), c.limit-len(c.text))]...)
		return len(p), nil
	}
	c.text = append(c.text, p...)
	_, rest, found := bytes.Cut(c.text, []byte(mark))
	number, rest, whole := bytes.Cut(rest, []byte("\n"))
	if !found || !whole {
		c.text = c.text[:min(len(c.text), maxNoise)]
		return len(p), nil
	}
	c.begun, c.text = true, bytes.Clone(rest[:min(len(rest), c.limit)])
	if c.first != nil {
		c.first(string(number))
	}
	return len(p), nil
}

// maxNoise is how much start-up files may say.
const maxNoise = 64 << 10

func (c *capture) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.text)
}

// errNoCommand says that something else ran than the command.
var errNoCommand = errors.New("the account runs no commands")

// missing explains a command that never began: an account without a shell, or
// one that is bound to a program of the server's choice.
func missing(out, errs *capture) error {
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.begun {
		return nil
	}
	errs.mu.Lock()
	defer errs.mu.Unlock()
	said := strings.TrimSpace(strings.ToValidUTF8(string(out.text)+" "+string(errs.text), "?"))
	return fmt.Errorf("%w; it said: %.500q", errNoCommand, said)
}

// job is a command to be run on the far side.
type job struct {
	line  string
	stdin []byte
	limit int                   // bytes kept of stdout
	first func(number string)   // told the number of the process; may be nil
	kill  func(context.Context) // called when ctx ends first; may be nil
	bare  bool                  // no mark comes on stderr
}

// captures are for stdout and stderr.
func (j job) captures() (out, errs *capture) {
	out, errs = &capture{limit: j.limit, first: j.first}, &capture{limit: MaxOutput}
	if j.bare {
		errs = heard(MaxOutput)
	}
	return out, errs
}

// exec runs one command in a channel of its own and waits for it, and for its
// output a moment longer. ssh.Session cannot be used for that: it waits for
// everybody who holds the output, a server in the background included.
func (l *link) exec(ctx context.Context, j job) (ended, error) {
	channel, requests, err := l.open(ctx)
	if err != nil {
		return ended{}, err
	}
	defer l.release(channel)
	if err := l.request(ctx, channel, "exec", ssh.Marshal(struct{ Command string }{j.line})); err != nil {
		return ended{}, err
	}
	out, errs := j.captures()
	drained, sent := make(chan struct{}), make(chan struct{})
	var unsent error
	go func() {
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(out, channel) }) // its end shows in the status
		both.Go(func() { _, _ = io.Copy(errs, channel.Stderr()) })
		both.Wait()
		close(drained)
	}()
	go func() {
		_, err := channel.Write(j.stdin)
		unsent = errors.Join(err, channel.CloseWrite())
		close(sent)
	}()
	code, err := l.status(ctx, requests)
	if err != nil && ctx.Err() != nil {
		// RFC 4254 §6.9; a server need not do it, so kill has its own way.
		_, _ = channel.SendRequest("signal", false, ssh.Marshal(struct{ Name string }{"KILL"}))
		if j.kill != nil {
			j.kill(context.WithoutCancel(ctx))
		}
	}
	if err != nil {
		return ended{errs: errs.bytes()}, err
	}
	wait(ctx, drained, outputDelay)
	if err := missing(out, errs); err != nil {
		return ended{}, err
	}
	result := ended{out: out.bytes(), errs: errs.bytes(), code: code}
	// The command may have ended a moment before the writer hears that it is done.
	wait(ctx, sent, outputDelay)
	select {
	case <-sent:
		result.unread = unsent != nil
	default:
		result.unread = true
	}
	return result, nil
}

// wait waits for done, the end of ctx or a delay.
func wait(ctx context.Context, done <-chan struct{}, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// open waits for a turn and opens a channel for a command or subsystem. sshd
// counts a session until its processes are gone, which is a moment after they
// have ended for us, so a refusal is not the last word.
func (l *link) open(ctx context.Context) (ssh.Channel, <-chan *ssh.Request, error) {
	select {
	case l.turns <- struct{}{}:
	case <-l.gone:
		return nil, nil, l.why()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	for pause := 10 * time.Millisecond; ; pause *= 2 {
		o := l.openOnce(ctx)
		var refused *ssh.OpenChannelError
		switch {
		case o.err == nil:
			return o.channel, o.requests, nil
		case errors.As(o.err, &refused) && pause < 2*time.Second:
			wait(ctx, l.gone, pause)
			continue
		case !o.pending:
			<-l.turns
		}
		return nil, nil, o.err
	}
}

// opened is the answer to a request for a channel.
type opened struct {
	channel  ssh.Channel
	requests <-chan *ssh.Request
	err      error
	pending  bool // ctx ended first; the turn ends when the answer comes
}

func (l *link) openOnce(ctx context.Context) opened {
	done := make(chan opened, 1)
	go func() {
		channel, requests, err := l.client.OpenChannel("session", nil)
		done <- opened{channel: channel, requests: requests, err: err}
	}()
	select {
	case o := <-done:
		var refused *ssh.OpenChannelError
		if errors.As(o.err, &refused) {
			o.err = fmt.Errorf("open a session: %w", o.err)
		} else if o.err != nil {
			o.err = l.blame(ctx, fmt.Errorf("open a session: %w", o.err))
		}
		return o
	case <-l.gone:
		return opened{err: l.why()}
	case <-ctx.Done():
		go func() { // the answer is still to come, or the end of the connection
			if o := <-done; o.err == nil {
				go ssh.DiscardRequests(o.requests)
				_ = o.channel.Close() // nobody uses it
			}
			<-l.turns
		}()
		return opened{err: ctx.Err(), pending: true}
	}
}

func (l *link) release(channel ssh.Channel) {
	_ = channel.Close() // what it was for is over
	<-l.turns
}

// request asks for a command or subsystem; both are said yes or no to.
func (l *link) request(ctx context.Context, channel ssh.Channel, kind string, payload []byte) error {
	type answer struct {
		ok  bool
		err error
	}
	done := make(chan answer, 1)
	go func() {
		ok, err := channel.SendRequest(kind, true, payload)
		done <- answer{ok, err}
	}()
	select {
	case a := <-done:
		switch {
		case a.err != nil:
			return l.blame(ctx, fmt.Errorf("%w: %w", ErrConnection, a.err))
		case !a.ok && kind == "exec":
			return fmt.Errorf("%w: %w", errNoCommand, errRefused)
		case !a.ok:
			return errRefused
		}
		return nil
	case <-l.gone:
		return l.why()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errRefused says that the server does not offer what was asked of it.
var errRefused = errors.New("the server refused")

// status waits for the end of a command.
func (l *link) status(ctx context.Context, requests <-chan *ssh.Request) (int, error) {
	for {
		select {
		case <-ctx.Done():
			go ssh.DiscardRequests(requests)
			return 0, ctx.Err()
		case request, ok := <-requests:
			switch {
			case !ok:
				return 0, l.blame(ctx, errNoStatus)
			case request.Type == "exit-status" && len(request.Payload) >= 4:
				go ssh.DiscardRequests(requests)
				return int(int32(binary.BigEndian.Uint32(request.Payload))), nil
			case request.Type == "exit-signal":
				go ssh.DiscardRequests(requests)
				return -1, nil
			case request.WantReply:
				_ = request.Reply(false, nil) // a keepalive; who does not answer is gone
			}
		}
	}
}
