package redistest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a child process that does not outlive its test.
type Process struct {
	cmd    *exec.Cmd
	out    *Buffer
	exited chan struct{} // closed when the process is gone
	err    error         // of Wait; read after exited is closed
}

// Start runs a program. Cleanup kills it and, if the test failed, logs the end of what it printed.
func Start(t testing.TB, program string, args ...string) *Process {
	t.Helper()
	p, err := start(program, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("output of %s (pid %d):\n%s", program, p.Pid(), tail(p.Output(), 4000))
		}
	})
	return p
}

func start(program string, args ...string) (*Process, error) {
	p := &Process{
		cmd:    exec.Command(program, args...),
		out:    new(Buffer),
		exited: make(chan struct{}),
	}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Output returns all that the process has printed so far, standard output and standard error mixed.
func (p *Process) Output() string { return p.out.String() }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Exited is closed when the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Running says whether the process is still there.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// ExitCode waits for the process to end and returns its exit code, -1 if a signal ended it.
func (p *Process) ExitCode() int {
	<-p.exited
	return p.cmd.ProcessState.ExitCode()
}

// Kill ends the process with SIGKILL, which no process can refuse, stopped ones included, and waits until it is gone.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.exited
}

// Stop freezes the process: it keeps its connections and answers nothing. The signal alone would not do: it is sent before it takes effect, and on a busy
// machine a thread may go on for a while.
func (p *Process) Stop() {
	p.cmd.Process.Signal(syscall.SIGSTOP)
	for p.Running() && !p.stopped() {
		time.Sleep(time.Millisecond)
	}
}

// stopped reports whether every thread has stopped, by proc(5). Where there is no /proc nobody knows, and it is taken for granted.
func (p *Process) stopped() bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid()))
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if _, state, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")); err == nil && ok && state[0] != 'T' {
			return false
		}
	}
	return true
}

// Cont thaws a stopped process.
func (p *Process) Cont() { p.cmd.Process.Signal(syscall.SIGCONT) }

// Buffer keeps what is written to it. Any goroutine may write and look.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write is part of io.Writer.
func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns all that was written.
func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func tail(s string, n int) string {
	if len(s) > n {
		s = "..." + s[len(s)-n:]
	}
	return strings.TrimRight(s, "\n")
}
