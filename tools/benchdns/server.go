package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// The processors of the servers and of the clients.
const (
	serverCPU = "0"
	clientCPU = "1"
)

// server is a program that runs.
type server struct {
	program
	port  int
	dir   string
	cmd   *exec.Cmd
	ended chan error
	pids  []int
	start time.Duration // until the last name of the zone was answered
}

// freePort is one that nobody has for UDP or TCP on loopback.
func freePort() (int, error) {
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		_ = l.Close() // it was only to find the number
		if err == nil {
			return port, u.Close()
		}
	}
	return 0, errors.New("no port is free for both UDP and TCP")
}

// launch starts a program with its files in a folder of its own.
func (b *bench) launch(ctx context.Context, p program) (*server, error) {
	s := &server{program: p, dir: filepath.Join(b.dir, p.needs)}
	if p.name == ours {
		s.dir = filepath.Join(b.dir, ours)
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	command, err := p.prepare(b, s.dir, s.port)
	if err != nil {
		return nil, err
	}
	if p.name != ours {
		return s, s.run(ctx, command, b.names-1)
	}
	// Ours is made to keep the records as it keeps those of clients, and started
	// again, so that its start is one with all of them.
	if err := s.run(ctx, command, empty); err != nil {
		return nil, err
	}
	if err := errors.Join(s.fill(b.names), s.stop()); err != nil {
		return nil, err
	}
	return s, s.run(ctx, command, b.names-1)
}

// empty is the number of no name: the server is ready when it has the zone.
const empty = -1

// run starts the command and waits until the n-th name is answered, or with
// empty any.
func (s *server) run(ctx context.Context, command []string, n int) error {
	output, err := os.Create(filepath.Join(s.dir, "output"))
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the server has its own
	s.cmd = exec.Command("taskset", append([]string{"-c", serverCPU}, command...)...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = s.dir, output, output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(s.cmd, s.ended)
	if err := s.ready(ctx, n); err != nil {
		text, _ := os.ReadFile(output.Name())
		return errors.Join(fmt.Errorf("start %s: %w\n%s", s.name, err, text), s.stop())
	}
	s.start = time.Since(began)
	s.pids = family(s.cmd.Process.Pid)
	return nil
}

// startLimit bounds how long a server may take to start.
const startLimit = 5 * time.Minute

// ready waits until the server answers for the n-th name.
func (s *server) ready(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		select {
		case err := <-s.ended:
			s.ended <- err
			return fmt.Errorf("it ended: %v", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
		reply, err := s.ask(owner(max(n, 0)), 7, time.Second)
		switch {
		case err != nil:
			continue
		case s.echo || n == empty && len(reply) >= headerSize && reply[2]&4 != 0:
			return nil
		}
		if err := checkTXT(reply, 7, owner(n)); err == nil {
			return nil
		}
	}
}

// ask sends one question and returns the reply.
func (s *server) ask(name string, id uint16, wait time.Duration) ([]byte, error) {
	c, err := net.Dial("udp", s.address())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // nothing is left to send
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	if _, err := c.Write(question(id, name)); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	return buf[:n], err
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// stop ends the server, gently at first.
func (s *server) stop() error {
	if s.cmd == nil || s.cmd.Process == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill() // NSD's children follow their parent
		<-s.ended
	}
	s.cmd = nil
	return nil
}
