package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// A process is one that we started and will end. What it says goes to a file in its folder.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
}

// start runs a program in dir. It must be called by the main goroutine (see init).
func start(name, dir, path string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	file, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p.cmd = exec.Command(path, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, file, file
	p.cmd.SysProcAttr = ourChild()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended gives an error with the last thing the process said, if it runs no more.
func (p *process) ended() error {
	select {
	case <-p.done:
		said, _ := os.ReadFile(p.log)
		last := lastLine(string(said))
		if last == "" {
			last = "it said nothing"
		}
		return fmt.Errorf("%s ended by itself (%v): %s", p.name, p.cmd.ProcessState, last)
	default:
		return nil
	}
}

// stop asks the process to end, then makes it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(2 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// freePorts finds n loopback ports that nobody listens on, all different.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// until tries again and again until try succeeds, alive does not, or the time is up; then it gives the last error.
func until(ctx context.Context, patience time.Duration, alive func() error, try func() error) error {
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := alive(); err != nil {
			return err
		}
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// startServers starts n redis-servers that keep nothing on disk, and waits until they answer.
func startServers(ctx context.Context, dir string, n int, sec *secure) (servers []*process, ports []int, err error) {
	if ports, err = freePorts(n); err != nil {
		return nil, nil, err
	}
	for i, port := range ports {
		args := append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1",
			"--save", "", "--appendonly", "no", "--dir", dir, "--maxclients", "4000"}, sec.server(i)...)
		p, err := start(fmt.Sprintf("redis-%d", i), dir, "redis-server", args...)
		if err != nil {
			return servers, nil, err
		}
		servers = append(servers, p)
		err = until(ctx, 10*time.Second, p.ended, func() error {
			c, err := dial(port, nil)
			if err != nil {
				return err
			}
			defer c.close()
			_, err = c.do("PING")
			return err
		})
		if err != nil {
			return servers, nil, fmt.Errorf("redis-server does not answer: %w", err)
		}
	}
	return servers, ports, nil
}
