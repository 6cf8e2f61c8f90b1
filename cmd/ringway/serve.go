package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"ringway/internal/admin"
	"ringway/internal/config"
	"ringway/internal/metrics"
	"ringway/internal/release"
	"ringway/internal/statscompat"
	"ringway/internal/status"
	"ringway/proxy"
)

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
//	[0 proxy: bind] --> [1 admin: not ready; stats_compat] --> [2 wait for start.require] --> [3 proxy: accept; ready]
//	SIGHUP, the file, /-/reload --> [proxy: another configuration]
//	SIGTERM --> [4 not ready; new clients to who listens beside us] --> [5 drain_delay]
//	        --> [6 proxy: accept nobody, let each client go when it is answered, close] --> [7 admin, stats_compat: close]
//	SIGTERM again --> the end
//
// file is where the configuration is read again, "" if it has none.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, file string, started func(*proxy.Server)) error {
	ctx, told := untilTold(ctx, log)
	defer told()
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // until all is over
	defer end()

	// One processor more than loops: while a loop waits for its connections it keeps the one it has, and name look-ups, scrapes and
	// the garbage collector need another.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), proxy.Threads(cfg)+1))
	srv, err := proxy.New(cfg, log)
	if err != nil {
		return explainListen(err)
	}
	manager := notifier{log}
	var rel *reloader
	if file != "" {
		rel = newReloader(file, srv, log)
		rel.manager = manager
	}
	rec := status.NewRecorder(srv, release.Version(), &events)
	adm, err := startAdmin(cfg, srv, rel, rec, log)
	if err != nil {
		srv.Shutdown(0)
		return err
	}
	stats, err := startStats(cfg, srv, log)
	if err != nil {
		stop(srv, adm, 0)
		return explainListen(err)
	}
	defer stats.Close()
	srv.Run()
	if adm != nil {
		go rec.Run(life)
	}
	if err = srv.Await(ctx, manager.waiting); err == nil {
		err = srv.Open()
	}
	if err != nil {
		stop(srv, adm, 0)
		if ctx.Err() != nil {
			return nil // told to stop while it waited
		}
		return explainListen(err)
	}
	for i, p := range cfg.Pools {
		log.Info("pool open", "pool", p.Name, "listen", srv.Addr(i), "nodes", len(p.Backends), "distribution", p.Distribution, "tls", p.TLS != nil)
	}
	if rel != nil {
		rel.watch(ctx, cfg.Reload.Watch)
	}
	manager.ready()
	manager.watchdog(life, srv.Live)
	started(srv)

	<-ctx.Done()
	how := srv.Config().Shutdown // a reload may have changed it
	log.Info("stopping", "drain_delay", how.DrainDelay, "drain_timeout", how.DrainTimeout)
	manager.stopping(how.DrainDelay + how.DrainTimeout)
	handedOver := srv.Leave()
	if handedOver {
		stats.Close() // who asks for this process means the other one
		if adm != nil {
			adm.Shutdown(briefly()) // likewise, whether it is ready
			adm = nil
		}
	}
	time.Sleep(how.DrainDelay)
	left := stop(srv, adm, how.DrainTimeout)
	log.Info("stopped", "cut_off", left)
	return nil
}

// stop ends what runs, and says how many clients were cut off.
func stop(srv *proxy.Server, adm *admin.Server, drain time.Duration) (left int) {
	left = srv.Shutdown(drain)
	if adm != nil {
		adm.Shutdown(briefly())
	}
	return left
}

func briefly() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// untilTold returns a context that ends with the first SIGTERM or SIGINT. The second ends the process, and by our own hand: process 1 of a container has
// no default that would.
func untilTold(ctx context.Context, log *slog.Logger) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		second := <-signals
		log.Warn("told to stop once more; ending at once", "signal", second)
		os.Exit(1)
	}()
	return ctx, cancel
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
		SlowLog:  func() any { return srv.SlowLog() },
		Status:   func() any { return rec.Status() },
		TLS:      srv.AdminTLS(),
		Pprof:    cfg.Admin.Pprof,
		Log:      log,

		ReusePort: reusesPorts(cfg),
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

// startStats opens the port that answers as twemproxy does, if there is one; a nil one can be closed.
func startStats(cfg *config.Config, srv *proxy.Server, log *slog.Logger) (*statscompat.Server, error) {
	if cfg.Stats == nil {
		return nil, nil
	}
	opt := statscompat.Options{Listen: cfg.Stats.Listen, Source: srv, Version: release.Version(), Log: log}
	if reusesPorts(cfg) {
		opt.Control = admin.ReusePort
	}
	stats, err := statscompat.Start(opt)
	if err == nil {
		log.Info("stats_compat open", "listen", stats.Addr())
	}
	return stats, err
}

// reusesPorts says whether a process that takes our place on the same addresses wants those of the process, too.
func reusesPorts(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Pools, func(p config.Pool) bool { return p.ReusePort })
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
