package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/certiform/terraform-provider-certificate/internal/secret"
)

// SSHOptions describe a machine that is reached over SSH.
type SSHOptions struct {
	Hop
	Bastions []Hop   // to go through, the first one first
	Become   *Become // nil: commands run as the user who logs in

	ConnectTimeout time.Duration // for each machine on the way; default 15 s
	CommandTimeout time.Duration // for each operation; default 5 min
	KeepAlive      time.Duration // between signs of life; default 15 s
}

const (
	defaultConnectTimeout = 15 * time.Second
	defaultCommandTimeout = 5 * time.Minute
	defaultKeepAlive      = 15 * time.Second

	// How long clearing up may take after a context ended: what was written, and
	// what was started, which does more harm when it goes on.
	cleanTimeout = 2 * time.Second
	killTimeout  = 5 * time.Second
)

// SSH is a machine with POSIX tools that is reached over SSH. It connects with
// the first operation, keeps the connection, and connects again with the next
// operation after it was lost. An operation that was under way then is not
// repeated: nobody knows how far it came.
type SSH struct {
	dialing sshDialer
	become  *Become
	timeout time.Duration
	windows bool // only command lines are wanted

	turn chan struct{} // whoever holds it connects
	mu   sync.Mutex
	now  *session
}

var (
	_ Transport = (*SSH)(nil)
	_ Placed    = (*SSH)(nil)
	_ Dialer    = (*SSH)(nil)
)

// session is what lives as long as one connection.
type session struct {
	link     *link
	commands *elevated
	posix    posix
}

// NewSSH reads keys and known hosts. It does not connect.
func NewSSH(options SSHOptions) (*SSH, error) {
	dialing, err := newSSHDialer(options)
	if err != nil {
		return nil, err
	}
	if options.Become != nil {
		if err := oneLine(options.Become.Password); err != nil {
			return nil, err
		}
	}
	return &SSH{
		dialing: dialing, become: options.Become, turn: make(chan struct{}, 1),
		timeout: cmp.Or(options.CommandTimeout, defaultCommandTimeout),
	}, nil
}

// oneLine refuses a password that sudo could not read.
func oneLine(password secret.Text) error {
	for _, c := range password.Reveal() {
		if c == '\n' || c == '\r' || c == 0 {
			return errors.New("sudo's password has a line break or a NUL byte, which cannot be typed")
		}
	}
	return nil
}

// sshDialer knows the way to a machine.
type sshDialer struct {
	hops               []hop
	timeout, keepAlive time.Duration
}

func newSSHDialer(options SSHOptions) (sshDialer, error) {
	d := sshDialer{
		timeout:   cmp.Or(options.ConnectTimeout, defaultConnectTimeout),
		keepAlive: cmp.Or(options.KeepAlive, defaultKeepAlive),
	}
	var problems []error
	for i, way := range append(options.Bastions[:len(options.Bastions):len(options.Bastions)], options.Hop) {
		h, err := way.parse()
		if err != nil && i < len(options.Bastions) {
			err = fmt.Errorf("bastion %d: %w", i+1, err)
		}
		problems = append(problems, err)
		d.hops = append(d.hops, h)
	}
	return d, errors.Join(problems...)
}

func (d sshDialer) dial(ctx context.Context) (*link, error) {
	return dialAll(ctx, d.hops, d.timeout, d.keepAlive)
}

// connect returns the session, a new one where there is none.
func (s *SSH) connect(ctx context.Context) (*session, error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.turn }()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	now := s.now
	s.mu.Unlock()
	if now != nil && !now.link.lost() {
		return now, nil
	}
	link, err := s.dialing.dial(ctx)
	if err != nil {
		return nil, err
	}
	now = &session{link: link, commands: &elevated{link: link, become: s.become}}
	if !s.windows {
		now.posix.files, err = now.choose(ctx)
	}
	if err != nil {
		link.close()
		return nil, err
	}
	s.mu.Lock()
	s.now = now
	s.mu.Unlock()
	return now, nil
}

// choose decides how files are reached: over SFTP, unless they belong to another
// user or there is none.
func (s *session) choose(ctx context.Context) (posixFiles, error) {
	shell := shellFiles{s.commands, s.selinux()}
	if s.commands.become != nil {
		return shell, nil
	}
	files := &sftpFiles{link: s.link, shell: shell}
	switch _, err := files.connect(ctx); {
	case errors.Is(err, errNoSFTP):
		return shell, nil
	case err != nil:
		return nil, err
	}
	return files, nil
}

// selinux asks once whether the machine labels its files.
func (s *session) selinux() func(context.Context) bool {
	var mu sync.Mutex
	var known, enabled bool
	return func(ctx context.Context) bool {
		mu.Lock()
		defer mu.Unlock()
		if !known {
			result, err := s.commands.exec(ctx, call{limit: MaxOutput}, []string{"selinuxenabled"}, nil)
			if err != nil && !errors.Is(err, errNoCommand) {
				return false // asked again, when there is an answer to be had
			}
			known, enabled = true, err == nil && result.code == 0
		}
		return enabled
	}
}

// on runs an operation on the session, within the timeout for operations.
func on[T any](ctx context.Context, s *SSH, operation func(context.Context, *session) (T, error)) (T, error) {
	session, err := s.connect(ctx)
	if err != nil {
		var none T
		return none, err
	}
	within, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	value, err := operation(within, session)
	if err != nil && ctx.Err() == nil && within.Err() != nil {
		err = fmt.Errorf("%w: no end after %s (command_timeout)", err, s.timeout)
	}
	return value, err
}

// ReadFile implements Transport.
func (s *SSH) ReadFile(ctx context.Context, path string) ([]byte, FileInfo, error) {
	var info FileInfo
	data, err := on(ctx, s, func(ctx context.Context, now *session) (data []byte, err error) {
		data, info, err = now.posix.readFile(ctx, path)
		return data, err
	})
	return data, info, err
}

// Stat implements Transport.
func (s *SSH) Stat(ctx context.Context, path string) (FileInfo, error) {
	var info FileInfo
	err := s.each(ctx, func(ctx context.Context, p posix) (err error) {
		info, err = p.stat(ctx, path)
		return err
	})
	return info, err
}

// Stage implements Transport.
func (s *SSH) Stage(ctx context.Context, path string, data []byte, attributes Attributes) (Staged, error) {
	return on(ctx, s, func(ctx context.Context, now *session) (Staged, error) {
		return now.posix.stage(ctx, path, data, attributes)
	})
}

// Rename implements Transport.
func (s *SSH) Rename(ctx context.Context, staged Staged) error {
	return s.each(ctx, func(ctx context.Context, p posix) error { return p.rename(ctx, staged) })
}

// Remove implements Transport.
func (s *SSH) Remove(ctx context.Context, path string) error {
	return s.each(ctx, func(ctx context.Context, p posix) error { return p.remove(ctx, path) })
}

// Check implements Transport.
func (s *SSH) Check(ctx context.Context, path string) error {
	return s.each(ctx, func(ctx context.Context, p posix) error { return p.check(ctx, path) })
}

func (s *SSH) each(ctx context.Context, operation func(context.Context, posix) error) error {
	_, err := on(ctx, s, func(ctx context.Context, now *session) (struct{}, error) {
		return struct{}{}, operation(ctx, now.posix)
	})
	return err
}

// List implements Transport.
func (s *SSH) List(ctx context.Context, directory string) ([]string, error) {
	return on(ctx, s, func(ctx context.Context, now *session) ([]string, error) {
		return now.posix.list(ctx, directory)
	})
}

// Run implements Transport.
func (s *SSH) Run(ctx context.Context, argv []string, stdin []byte) (Output, error) {
	if len(argv) == 0 {
		return Output{}, errors.New("run: the argument list is empty")
	}
	result, err := on(ctx, s, func(ctx context.Context, now *session) (ended, error) {
		return now.commands.run(ctx, call{argv: argv, stdin: stdin, limit: MaxOutput, mixed: true})
	})
	if err != nil {
		return Output{}, fmt.Errorf("run %s: %w", argv[0], err)
	}
	return Output{Text: string(result.out) + string(result.errs), ExitCode: result.code}, nil
}

// Dial implements Dialer: the connection is made by the machine.
func (s *SSH) Dial(ctx context.Context, address string) (net.Conn, error) {
	return on(ctx, s, func(ctx context.Context, now *session) (net.Conn, error) {
		connection, err := now.link.client.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("connect from the machine to %s: %w", address, err)
		}
		return connection, nil
	})
}

// Place implements Placed: the same address behind other bastions is another
// machine.
func (s *SSH) Place() string {
	var way []string
	for _, h := range s.dialing.hops {
		way = append(way, h.address)
	}
	return strings.Join(way, " ")
}

// Close implements Transport.
func (s *SSH) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		s.now.link.close()
		<-s.now.link.gone
		s.now = nil
	}
	return nil
}
