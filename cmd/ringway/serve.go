package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"ringway/internal/admin"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/release"
	"ringway/internal/status"
	"ringway/proxy"
)

// drainTime is how long requests in flight may take to finish after the first signal.
const drainTime = 10 * time.Second

func serveFile(ctx context.Context, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	log := newLogger(cfg.Log)
	for _, warning := range cfg.Warnings {
		log.Warn(warning)
	}
	return serve(ctx, cfg, log, file, func(*proxy.Server) {})
}

// serve runs a configuration until a signal ends it:
//
//	SIGHUP, the file, /-/reload --> [0 proxy: another configuration]
//	SIGTERM --> [1 admin: not ready] --> [2 proxy: stop accepting, finish what is in flight, close] --> [3 admin: close]
//
// file is where the configuration is read again, "" if it has none.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, file string, started func(*proxy.Server)) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()

	// One processor more than loops: while a loop waits for its connections it keeps the one it has, and name look-ups, scrapes and
	// the garbage collector need another.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), proxy.Threads(cfg)+1))
	srv, err := proxy.New(cfg, log)
	if err != nil {
		return explainListen(err)
	}
	var rel *reloader
	if file != "" {
		rel = newReloader(file, srv, log)
	}
	rec := status.NewRecorder(srv, release.Version(), &events)
	adm, err := startAdmin(cfg, srv, rel, rec, log)
	if err != nil {
		srv.Shutdown(0)
		return err
	}
	srv.Start()
	if adm != nil {
		go rec.Run(ctx)
	}
	for i, p := range cfg.Pools {
		log.Info("pool open", "pool", p.Name, "listen", srv.Addr(i), "nodes", len(p.Backends), "distribution", p.Distribution, "tls", p.TLS != nil)
	}
	if rel != nil {
		rel.watch(ctx, cfg.Reload.Watch)
	}
	started(srv)

	<-ctx.Done()
	stop() // a second signal ends the process at once
	log.Info("stopping", "drain", drainTime)
	srv.Shutdown(drainTime)
	if adm != nil {
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		adm.Shutdown(short)
	}
	return nil
}

func startAdmin(cfg *config.Config, srv *proxy.Server, rel *reloader, rec *status.Recorder, log *slog.Logger) (*admin.Server, error) {
	if cfg.Admin.Listen == "" {
		return nil, nil
	}
	opt := admin.Options{
		Listen:   cfg.Admin.Listen,
		Registry: metrics.NewRegistry(srv, release.Version()),
		Live:     srv.Live,
		Ready:    srv.Ready,
		HotKeys:  func() any { return srv.HotKeys() },
		Status:   func() any { return rec.Status() },
		TLS:      srv.AdminTLS(),
		Log:      log,
	}
	if rel != nil {
		opt.Reload = func() error { return rel.reload("POST /-/reload") }
	}
	adm := admin.New(opt)
	if err := adm.Start(); err != nil {
		return nil, err
	}
	log.Info("admin open", "listen", adm.Addr(), "tls", opt.TLS != nil)
	return adm, nil
}

func explainListen(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w (is another ringway or redis running there? choose another `listen`)", err)
	}
	return err
}

// events are the lines of the log that the status page shows.
var events status.Events

func newLogger(l config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(l.Level))); err != nil {
		level = slog.LevelInfo
	}
	opt := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(os.Stderr, opt)
	if l.Format == "json" {
		h = slog.NewJSONHandler(os.Stderr, opt)
	}
	log := slog.New(events.Handler(h))
	slog.SetDefault(log)
	return log
}
