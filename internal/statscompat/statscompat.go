// Package statscompat answers on a port as twemproxy does on its stats port: each connection gets one JSON document, in twemproxy's
// shape, and is closed. The figures are those of a scrape of /metrics. What twemproxy counts and Ringway does not is said in
// docs/migrating-from-twemproxy.md.
package statscompat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"ringway/internal/metrics"
)

const (
	mostClients = 16 // that are answered at a time; others wait in the backlog
	patience    = 5 * time.Second
)

// Options say what a server tells, and where.
type Options struct {
	Listen  string // host:port; port 0 lets the system choose
	Source  Source
	Version string
	Log     *slog.Logger
	Control func(network, address string, c syscall.RawConn) error // of the socket, before it is bound; nil: nothing

	patience time.Duration // with a client that does not read; 0: as usual
}

// Source has the figures. It may be asked by several goroutines at once.
type Source interface {
	Pools() []metrics.PoolShards
}

// Server is the port.
type Server struct {
	opt     Options
	started time.Time
	host    string // this machine's name
	ln      net.Listener
	free    chan struct{} // has one for each client, and one for the next
	end     context.CancelFunc
	done    sync.WaitGroup
}

// Start listens, or says at once why it can't, and answers until Close.
func Start(opt Options) (*Server, error) {
	how := net.ListenConfig{Control: opt.Control}
	ln, err := how.Listen(context.Background(), "tcp", opt.Listen)
	var op *net.OpError
	if errors.As(err, &op) { // the address is named already
		err = op.Err
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on stats_compat address %s: %w", opt.Listen, err)
	}
	ctx, end := context.WithCancel(context.Background())
	s := &Server{opt: opt, started: time.Now(), ln: ln, free: make(chan struct{}, mostClients), end: end}
	s.opt.patience = cmp.Or(opt.patience, patience)
	if s.host, err = os.Hostname(); err != nil {
		s.host = "unknown"
	}
	s.done.Go(func() { s.accept(ctx) })
	return s, nil
}

// Addr is where it listens, with the port that the system chose if 0 was asked for.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close stops listening, lets go of who has not read its answer, and waits until that is over. A nil server has nothing to close.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.end()
	s.ln.Close()
	s.done.Wait()
}

func (s *Server) accept(ctx context.Context) {
	for {
		s.free <- struct{}{}
		c, err := s.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptors, or a client that has gone already
			s.opt.Log.Warn("stats_compat cannot accept a client", "listen", s.Addr(), "error", err)
			<-s.free
			select {
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		s.done.Go(func() {
			defer func() { <-s.free }()
			s.answer(ctx, c)
		})
	}
}

// answer sends the document, and waits for nothing but the client's reading of it, and not for long.
func (s *Server) answer(ctx context.Context, c net.Conn) {
	defer context.AfterFunc(ctx, func() { c.Close() })()
	defer c.Close()
	doc := s.document(time.Now())
	c.SetDeadline(time.Now().Add(s.opt.patience))
	c.Write(doc) // who has gone is not told
}
