package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"ringway/internal/config"
	"ringway/proxy"
)

// settle is how long a changed file is left alone before it is read: editors and mounts change it in several steps.
const settle = 100 * time.Millisecond

// reloader reads the configuration file again when it is told to: by SIGHUP, by a change of the file, or by POST /-/reload.
type reloader struct {
	file string
	srv  *proxy.Server
	log  *slog.Logger

	manager notifier // is told of what SIGHUP does: systemctl reload waits for the end of it

	mu   sync.Mutex
	data []byte // what the file held when it was last read

	unwatched map[string]bool // directories of which it was told that they can't be watched; for watch alone
}

func newReloader(file string, srv *proxy.Server, log *slog.Logger) *reloader {
	r := &reloader{file: file, srv: srv, log: log, unwatched: map[string]bool{}}
	r.data, _ = os.ReadFile(file)
	return r
}

// reload takes the file over as a whole, or keeps what is served and says why.
func (r *reloader) reload(cause string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.take(cause)
}

// reloadChanged reloads if the file holds something else than when it was last read.
func (r *reloader) reloadChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if data, err := os.ReadFile(r.file); err == nil && !bytes.Equal(data, r.data) {
		r.take("the file has changed")
	}
}

func (r *reloader) take(cause string) error {
	if data, err := os.ReadFile(r.file); err == nil {
		r.data = data
	}
	cfg, err := config.Load(r.file)
	if err == nil {
		before := r.srv.Config()
		if err = r.srv.Reload(cfg); err == nil {
			for _, warning := range cfg.Warnings {
				r.log.Warn(warning)
			}
			for _, line := range config.Compare(before, cfg).Lines() {
				r.log.Info("configuration changed", "change", line)
			}
			for _, option := range config.NeedsRestart(before, cfg) {
				r.log.Warn("an option takes effect after a restart only", "option", option)
			}
			r.log.Info("configuration reloaded", "file", r.file, "cause", cause)
			return nil
		}
		err = explainListen(err)
	}
	r.srv.ReloadFailed()
	r.log.Error("cannot reload the configuration; the one before stays", "file", r.file, "cause", cause, "error", err)
	return err
}

// watch reloads on SIGHUP and, if the file is to be watched, when it changes, until ctx ends. Certificates and passwords in files are read again when they
// change in any case.
func (r *reloader) watch(ctx context.Context, file bool) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	var changes <-chan fsnotify.Event
	var failures <-chan error
	w, err := fsnotify.NewWatcher()
	if err != nil {
		r.log.Warn("cannot watch files; SIGHUP still has them read again", "error", err)
	} else {
		changes, failures = w.Events, w.Errors
		context.AfterFunc(ctx, func() { w.Close() })
		if file {
			r.watchFiles(w, r.file)
		}
		r.watchFiles(w, r.srv.Files()...)
	}
	go func() {
		defer signal.Stop(hup)
		var quiet <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				r.manager.reloading()
				r.srv.RereadFiles()
				r.reload("SIGHUP")
				r.manager.ready()
				r.watchFiles(w, r.srv.Files()...)
			case _, ok := <-changes:
				if ok {
					quiet = time.After(settle)
				}
			case err, ok := <-failures:
				if ok && errors.Is(err, fsnotify.ErrEventOverflow) {
					quiet = time.After(settle)
				}
			case <-quiet:
				quiet = nil
				r.srv.RereadFiles()
				if file {
					r.reloadChanged()
				}
				r.watchFiles(w, r.srv.Files()...) // another configuration names others, and links may lead elsewhere
			}
		}
	}()
}

// watchFiles watches the directories in which a change of the files can be seen: their own, for editors write a new file and
// rename it; and, where one is a link, that of the link's target. Kubernetes mounts ConfigMaps and Secrets as links to ..data, a link
// that it exchanges. What is watched already costs nothing.
func (r *reloader) watchFiles(w *fsnotify.Watcher, files ...string) {
	if w == nil {
		return
	}
	for _, file := range files {
		dirs := []string{filepath.Dir(file)}
		if target, err := filepath.EvalSymlinks(file); err == nil && filepath.Dir(target) != dirs[0] {
			dirs = append(dirs, filepath.Dir(target))
		}
		for _, dir := range dirs {
			if err := w.Add(dir); err != nil && !r.unwatched[dir] {
				r.unwatched[dir] = true
				r.log.Warn("cannot watch a directory; SIGHUP still has its files read again", "directory", dir, "error", err)
			}
		}
	}
}
