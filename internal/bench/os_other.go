//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

func cpuTime(int) (time.Duration, error) {
	return 0, errors.New("the CPU time of another process can be read on Linux only: run the benchmark there")
}

func ourChild() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
