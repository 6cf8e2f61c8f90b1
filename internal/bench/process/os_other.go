//go:build !linux

package process

import (
	"errors"
	"syscall"
	"time"
)

func CPUTime(int) (time.Duration, error) {
	return 0, errors.New("the CPU time of another process can be read on Linux only: run the benchmark there")
}

func OurChild() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
