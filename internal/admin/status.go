package admin

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

//go:embed status.html
var statusHTML string

// statusPolicy lets the page run its own script and styles, talk to this server, and nothing else.
var statusPolicy = func() string {
	_, rest, _ := strings.Cut(statusHTML, "<script>")
	script, _, _ := strings.Cut(rest, "</script>")
	sum := sha256.Sum256([]byte(script))
	return "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}()

// streams is how many pages may be open at once, and streamEvery how often each is told.
const (
	streams     = 32
	streamEvery = time.Second
)

func (opt *Options) statusPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", statusPolicy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	extra := ""
	if opt.HotKeys != nil {
		extra += ` &middot; <a href="/hotkeys">/hotkeys</a>`
	}
	if opt.SlowLog != nil {
		extra += ` &middot; <a href="/api/v1/slowlog">/api/v1/slowlog</a>`
	}
	if opt.Pprof {
		extra += ` &middot; <a href="/debug/pprof/">/debug/pprof/</a>`
	}
	io.WriteString(w, strings.Replace(statusHTML, "EXTRA", extra, 1))
}

// stream sends the status at once and each second from then on, as server-sent events (HTML Living Standard, 9.2), until the client goes
// or the server stops.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		http.Error(w, fmt.Sprintf("%d status pages are open already; close one, or poll /api/v1/status", streams), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	control := http.NewResponseController(w)
	tick := time.NewTicker(streamEvery)
	defer tick.Stop()
	for {
		b, err := json.Marshal(s.opt.Status())
		if err != nil {
			return
		}
		control.SetWriteDeadline(time.Now().Add(10 * streamEvery)) // who reads nothing for so long has gone
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		}
	}
}
