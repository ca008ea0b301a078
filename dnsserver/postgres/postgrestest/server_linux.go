package postgrestest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// tie has the kernel end the server when the tests end, even killed ones.
func tie(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGQUIT }

// Freeze stops the server's processes for the time being, as a hanging disk
// would, until thaw is called.
func (s *Server) Freeze(tb testing.TB) (thaw func()) {
	tb.Helper()
	pids := []int{s.process.Pid}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", s.process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	signal := func(signal syscall.Signal) {
		for _, pid := range pids {
			if err := syscall.Kill(pid, signal); err != nil {
				tb.Errorf("signal %d: %v", pid, err)
			}
		}
	}
	signal(syscall.SIGSTOP)
	return sync.OnceFunc(func() { signal(syscall.SIGCONT) })
}
