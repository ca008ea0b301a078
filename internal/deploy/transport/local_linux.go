package transport

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// labelName is the extended attribute SELinux keeps a file's label in.
const labelName = "security.selinux"

// label returns the SELinux label of a file; empty where there is none.
func label(path string) string {
	value := make([]byte, 256)
	n, err := unix.Getxattr(path, labelName, value)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(value[:n]), "\x00")
}

func setLabel(file *os.File, label string) error {
	return unix.Fsetxattr(int(file.Fd()), labelName, append([]byte(label), 0), 0)
}
