package bindtest

import "syscall"

// tie has the kernel end the server when the tests end, even killed ones.
func tie(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGKILL }
