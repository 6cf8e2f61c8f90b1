package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Scrapes that run at once, and how long one may take. A loop that is stuck must not pile them up.
const (
	scrapes       = 4
	scrapeTimeout = 10 * time.Second
)

// handler has a page for each path. Other methods than GET and HEAD are answered with 405, other paths with 404.
func (s *Server) handler(errorLog *log.Logger) http.Handler {
	opt := &s.opt
	mux := http.NewServeMux()
	if opt.Status != nil {
		mux.HandleFunc("GET /{$}", opt.statusPage)
		mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, opt.Status()) })
		mux.HandleFunc("GET /api/v1/stream", s.stream)
	} else {
		mux.HandleFunc("GET /{$}", opt.index)
	}
	mux.HandleFunc("GET /livez", probe(opt.Live))
	mux.HandleFunc("GET /readyz", probe(opt.Ready))
	if opt.Reload != nil {
		mux.HandleFunc("POST /-/reload", func(w http.ResponseWriter, r *http.Request) {
			probe(opt.Reload)(w, r)
		})
	}
	if opt.HotKeys != nil {
		mux.HandleFunc("GET /hotkeys", opt.hotKeys)
	}
	if opt.SlowLog != nil {
		mux.HandleFunc("GET /api/v1/slowlog", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]any{"pools": opt.SlowLog()}) })
	}
	if opt.Registry != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(opt.Registry, promhttp.HandlerOpts{
			ErrorLog:            errorLog,
			ErrorHandling:       promhttp.HTTPErrorOnError,
			MaxRequestsInFlight: scrapes,
			Timeout:             scrapeTimeout,
			EnableOpenMetrics:   true,
		}))
	}
	if opt.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // go tool pprof posts addresses
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// probe answers 200 and "ok", or 503 and what is wrong.
func probe(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if check != nil {
			if err := check(); err != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprintln(w, err)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	}
}

// hotKeys tells as JSON which keys are hot. A key that is not UTF-8 has a substitute for what is not.
func (opt *Options) hotKeys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"pools": opt.HotKeys()})
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(append(b, '\n'))
}

const hotKeysLink = `<dt><a href="/hotkeys">/hotkeys</a><dd>the keys that get most requests, as JSON
`

const indexPage = `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Ringway</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem } dd { margin: 0 0 1rem }</style>
<h1>Ringway</h1>
<dl>
<dt><a href="/metrics">/metrics</a><dd>what it counts, for Prometheus
<dt><a href="/readyz">/readyz</a><dd>ok while clients are accepted
<dt><a href="/livez">/livez</a><dd>ok while every event loop turns
%s</dl>
`

const pprofLink = `<dt><a href="/debug/pprof/">/debug/pprof/</a><dd>profiles, for go tool pprof
`

func (opt *Options) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	more := ""
	if opt.HotKeys != nil {
		more = hotKeysLink
	}
	if opt.Pprof {
		more += pprofLink
	}
	io.WriteString(w, fmt.Sprintf(indexPage, more))
}
