// Package admin is the HTTP side of a running Ringway: a status page and /hotkeys for people, /api/v1/ for programs, /metrics for Prometheus, /livez and /readyz for what starts,
// stops and routes to it. It is an ordinary net/http server, apart from the loops: what it tells it asks of functions
// that it is given. It has no passwords, so it belongs on an address that only operators reach, unless TLS asks for their certificates.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// Options say what a server tells, and where.
type Options struct {
	Listen    string               // host:port; port 0 lets the system choose
	Registry  *prometheus.Registry // what /metrics shows
	Live      func() error         // why the process should be restarted; nil, or returning nil: it is well
	Ready     func() error         // why no client should be sent here; nil, or returning nil: it serves
	Reload    func() error         // read the configuration again; nil: there is no file to read
	HotKeys   func() any           // what /hotkeys shows, as JSON; nil: there is no such page
	SlowLog   func() any           // what /api/v1/slowlog shows, as JSON; nil: there is no such page
	Status    func() any           // what the status page and /api/v1/status show, as JSON; nil: there are none
	Log       *slog.Logger         // nil: slog.Default()
	ReusePort bool                 // SO_REUSEPORT: a process that takes this one's place may listen already
	TLS       func() *tls.Config   // the settings of the next handshake; nil: plain HTTP
	Pprof     bool                 // serve /debug/pprof/, which shows the program's memory and can slow it down
}

// Server is the admin address of a process.
type Server struct {
	opt  Options
	http *http.Server
	addr string
	done chan struct{} // closed when Serve has returned

	streams  chan struct{} // has one for each that is open
	stopping chan struct{} // closed when they have to end
}

// New returns a server that does not listen yet.
func New(opt Options) *Server {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	s := &Server{opt: opt, done: make(chan struct{}), streams: make(chan struct{}, streams), stopping: make(chan struct{})}
	errorLog := slog.NewLogLogger(opt.Log.Handler(), slog.LevelWarn)
	s.http = &http.Server{
		Handler:           s.handler(errorLog),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // profiles are recorded for half a minute, if nothing else is asked
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          errorLog,
	}
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(s.stopping) }))
	return s
}

// Start listens, or says at once why it can't, and serves until Shutdown.
func (s *Server) Start() error {
	var how net.ListenConfig
	if s.opt.ReusePort {
		how.Control = ReusePort
	}
	ln, err := how.Listen(context.Background(), "tcp", s.opt.Listen)
	if err != nil {
		return listenError(s.opt.Listen, err)
	}
	s.addr = ln.Addr().String()
	if settings := s.opt.TLS; settings != nil {
		ln = tls.NewListener(ln, &tls.Config{
			GetConfigForClient:     func(*tls.ClientHelloInfo) (*tls.Config, error) { return settings(), nil },
			SessionTicketsDisabled: true, // they would outlive the settings that they were made under
		})
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.opt.Log.Error("admin closed", "listen", s.addr, "error", err)
		}
	}()
	return nil
}

// ReusePort is a net.ListenConfig's Control that sets SO_REUSEPORT.
func ReusePort(_, _ string, c syscall.RawConn) (err error) {
	failed := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	})
	return errors.Join(failed, err)
}

// Addr returns where the server listens after Start, with the port that the system chose if 0 was asked for.
func (s *Server) Addr() string { return s.addr }

// Shutdown stops listening and waits for the answers in progress until ctx ends, then cuts them off and returns ctx's
// error. A server that was not started has nothing to stop.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.addr == "" {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	<-s.done
	return err
}

// listenError says what to do about an address that can't be had.
func listenError(listen string, err error) error {
	advice := `set admin: {listen: ...} to an address and port of this machine, or to off`
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = `is another ringway running? Choose another port with admin: {listen: ...}, or off`
	case errors.Is(err, syscall.EACCES):
		advice = `ports below 1024 need the right to use them; choose a higher one with admin: {listen: ...}`
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = `this machine does not have that address; choose one it has with admin: {listen: ...}, or :PORT for all`
	}
	return fmt.Errorf("cannot listen on admin address %s: %w (%s)", listen, cause(err), advice)
}

// cause takes off what net says around the error: the address is already named.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
