package process

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is the user and system time of a process and all its threads, those that have ended included. It is the
// counter behind the times of /proc/PID/stat, read through the process's CPU clock, in nanoseconds instead of ticks of 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	// How the kernel numbers the clocks of other processes: the pid's complement, then "process", "scheduler's time".
	clock := int32(^pid)<<3 | 2
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("cannot read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// OurChild keeps Ctrl-C from the processes, which we end ourselves and in order, and ends them if we cannot.
func OurChild() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
