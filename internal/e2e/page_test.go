//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"ringway/internal/redistest"
)

// browser is a page of a real Chromium. What it complains of fails the test.
type browser struct {
	t    *testing.T
	ctx  context.Context
	deaf atomic.Bool // what it complains of is expected
}

func browse(t *testing.T, url string) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath("chromium"), chromedp.WSURLReadTimeout(time.Minute))
	alloc, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		if b.deaf.Load() {
			return
		}
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError {
				t.Errorf("the page: %s %s", e.Entry.Text, e.Entry.URL)
			}
		}
	})
	b.size(1280, 1000, "light")
	b.do(log.Enable(), chromedp.Navigate(url))
	return b
}

func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) size(width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// ask evaluates an expression on the page.
func ask[T any](b *browser, expression string) (v T) {
	b.t.Helper()
	b.do(chromedp.Evaluate(expression, &v))
	return v
}

// until waits until an expression is true.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	redistest.WaitFor(b.t, what, func() bool { return ask[bool](b, expression) })
}

// picture saves what is to be seen to the folder of RINGWAY_PICTURES, if there is one.
func (b *browser) picture(name string) {
	b.t.Helper()
	folder := os.Getenv("RINGWAY_PICTURES")
	if folder == "" {
		return
	}
	var png []byte
	b.do(chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(folder, name), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// skewed is a load of which half are reads of one key.
func skewed(t *testing.T, addr, key string) {
	var stop atomic.Bool
	done := make(chan struct{})
	c := redistest.Dial(t, addr)
	go func() {
		defer close(done)
		for i := 0; !stop.Load(); i++ {
			if _, err := c.TryDo("GET", key); err != nil {
				return
			}
			if _, err := c.TryDo("GET", fmt.Sprint("page:", i%1000)); err != nil {
				return
			}
			time.Sleep(3 * time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		stop.Store(true)
		<-done
	})
}

// A person sees which node has too much to do and why, on a screen, on a phone and in the dark; that a node is gone; and that it is back.
func TestStatusPage(t *testing.T) {
	nodes := servers(t, 3)
	r := serve(t, pool{nodes: addresses(nodes), options: map[string]string{"hot_keys": "off", "slowlog_threshold": "0", "timeout": "10s", "health_check": "{interval: 100ms, timeout: 10s, failures: 2}"}},
		pool{name: "spread", nodes: addresses(nodes), options: map[string]string{"timeout": "10s", "health_check": "{interval: 100ms, timeout: 10s, failures: 2}"}})
	hot := `user:<img src=x onerror="document.title='taken over'">`
	owner := owners(t, r.addr(), nodes, []string{hot})[hot]
	victim := fmt.Sprintf("n%d", owner)
	skewed(t, r.addr(), hot)
	skewed(t, r.addrs[1], hot)

	b := browse(t, r.admin+"/")
	verdict := func(pool string) string { return fmt.Sprintf(`[data-pool=%s] .verdict`, pool) }
	says := func(pool, word string) string {
		return fmt.Sprintf(`(document.querySelector(%q) || {textContent: ""}).textContent.includes(%q)`, verdict(pool), word)
	}
	b.until("the busy node to be named", says("pool0", victim+" gets "))
	b.until("the row of the busy node to stand out", fmt.Sprintf(`document.querySelector("[data-pool=pool0] tr.busy td").textContent === %q`, victim))
	b.until("the hot key to be told", fmt.Sprintf(`[...document.querySelectorAll("[data-pool=spread] td.key")].some(e => e.textContent === %q)`, hot))
	b.until("what is done about it to be told", `["copies", "Reads of the hot key", "is spread over"].some(w => document.querySelector("[data-pool=spread] .verdict").textContent.includes(w))`)
	b.until("slow requests to be told", fmt.Sprintf(`[...document.querySelectorAll("#slow tbody tr")].some(r => r.textContent.includes("get") && r.textContent.includes(%q) && r.textContent.includes(%q))`, hot, victim))
	if n := ask[int](b, `document.querySelectorAll("[data-pool=pool0] .ring path").length`); n < 3 {
		t.Errorf("the ring has %d parts", n)
	}
	if n := ask[int](b, `document.querySelectorAll("img").length`); n != 0 {
		t.Errorf("a key's name has become %d elements", n)
	}
	if title := ask[string](b, "document.title"); title != "Ringway" {
		t.Errorf("title: %q", title)
	}
	b.picture("status.png")

	t.Run("on a phone", func(t *testing.T) {
		b.size(390, 844, "light")
		if wide := ask[int](b, "document.documentElement.scrollWidth"); wide > 390 {
			t.Errorf("the page is %d pixels wide on a screen of 390", wide)
		}
		b.picture("status-phone.png")
	})
	t.Run("in the dark", func(t *testing.T) {
		b.size(1280, 1000, "dark")
		dark := func(what string) bool {
			return ask[bool](b, fmt.Sprintf(`getComputedStyle(document.body).%s.match(/\d+/g).slice(0, 3).every(c => %s)`, what, map[string]string{"backgroundColor": "c < 60", "color": "c > 180"}[what]))
		}
		if !dark("backgroundColor") || !dark("color") {
			t.Error("it is not dark")
		}
		b.picture("status-dark.png")
	})
	t.Run("a node dies and returns", func(t *testing.T) {
		b.size(1280, 1000, "light")
		nodes[owner].Kill()
		b.until("the node to be down", says("pool0", victim+" is down"))
		b.until("the event to be told", `[...document.querySelectorAll("#events li.warn")].some(e => e.textContent.includes("node down") && e.textContent.includes("node=`+victim+`"))`)
		if title := ask[string](b, "document.title"); title == "Ringway" {
			t.Error("the title does not tell")
		}
		b.picture("status-down.png")
		nodes[owner].Restart()
		b.until("the node to be up", fmt.Sprintf(`!(%s)`, says("pool0", "is down")))
	})
	t.Run("Ringway stops", func(t *testing.T) {
		b.deaf.Store(true)
		if err := r.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		b.until("the page to say that it is old", `document.getElementById("link").textContent.includes("no connection")`)
	})
}

// What the page shows can be had as JSON.
func TestStatusAsJSON(t *testing.T) {
	nodes := servers(t, 2)
	r := serve(t, pool{nodes: addresses(nodes)})
	c := redistest.Dial(t, r.addr())
	type node struct {
		Name     string
		State    string
		Keys     float64 `json:"share_of_keys"`
		Requests float64 `json:"requests_per_second"`
	}
	var status struct {
		Ready bool
		Pools []struct {
			Name     string
			Requests float64 `json:"requests_per_second"`
			Nodes    []node
			Ring     []int
		}
	}
	redistest.WaitFor(t, "requests to be counted", func() bool {
		for i := range 50 {
			c.Do("GET", fmt.Sprint(i))
		}
		resp, err := http.Get(r.admin + "/api/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
			t.Fatal(err)
		}
		return len(status.Pools) == 1 && status.Pools[0].Requests > 0 && status.Pools[0].Nodes[0].Requests > 0 && status.Pools[0].Nodes[1].Requests > 0
	})
	p := status.Pools[0]
	if !status.Ready || p.Name != "pool0" || len(p.Ring) != 360 || len(p.Nodes) != 2 {
		t.Errorf("%+v", status)
	}
	if sum := p.Nodes[0].Keys + p.Nodes[1].Keys; sum < 0.99 || sum > 1.01 || p.Nodes[0].State != "up" || !strings.HasPrefix(p.Nodes[0].Name, "n") {
		t.Errorf("%+v", p.Nodes)
	}
}
