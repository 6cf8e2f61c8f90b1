//go:build !linux

package redistest

import "syscall"

// dieWithParent needs Linux; elsewhere a child outlives a test binary that is killed.
func dieWithParent() *syscall.SysProcAttr { return nil }
