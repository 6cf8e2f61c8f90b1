package redistest

import "syscall"

// dieWithParent makes the kernel kill the child when the test binary dies, even by a time-out or SIGKILL.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
