package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"ringway/internal/status"
)

func topCommand() *cobra.Command {
	var url string
	var once, insecure bool
	c := &cobra.Command{
		Use:   "top",
		Short: "Show in the terminal what a running Ringway does",
		Long: "Top shows what the status page does: requests, latency, the load of each node beside its share of the keys, hot keys and events,\n" +
			"anew each second. It asks the admin address. Tab goes to the next pool, q ends it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asker := newAsker(url, insecure)
			if out, ok := cmd.OutOrStdout().(*os.File); once || !ok || !isatty.IsTerminal(out.Fd()) {
				s, err := asker.ask()
				if err != nil {
					return err
				}
				m := topModel{status: s, width: 100, height: 1000}
				for m.pool = range s.Pools {
					fmt.Fprintln(cmd.OutOrStdout(), m.View())
				}
				return nil
			}
			_, err := tea.NewProgram(topModel{asker: asker, width: 100, height: 40}, tea.WithAltScreen(), tea.WithContext(cmd.Context())).Run()
			return err
		},
	}
	c.Flags().StringVar(&url, "admin", "http://127.0.0.1:9121", "the admin address")
	c.Flags().BoolVar(&once, "once", false, "print it once, and end; so it is where there is no terminal")
	c.Flags().BoolVar(&insecure, "insecure", false, "with https: take any certificate")
	return c
}

// asker gets the status from an admin address.
type asker struct {
	url    string
	client http.Client
}

func newAsker(url string, insecure bool) *asker {
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	return &asker{strings.TrimSuffix(url, "/") + "/api/v1/status", http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: insecure}},
	}}
}

func (a *asker) ask() (*status.Status, error) {
	resp, err := a.client.Get(a.url)
	if err != nil {
		return nil, fmt.Errorf("%w (is Ringway running, and is --admin what `admin: {listen: ..}` says?)", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s; expected Ringway's status", a.url, resp.Status)
	}
	s := new(status.Status)
	if err := json.NewDecoder(resp.Body).Decode(s); err != nil {
		return nil, fmt.Errorf("%s: %w; expected Ringway's status as JSON", a.url, err)
	}
	return s, nil
}

// topModel is what is shown, in the manner of bubbletea.
type topModel struct {
	asker         *asker
	status        *status.Status // nil before the first answer
	failed        error          // the last time it was asked for
	pool          int
	width, height int
}

// answer is the status, or why there is none.
type answer struct {
	status *status.Status
	err    error
}

func (m topModel) get() tea.Msg {
	s, err := m.asker.ask()
	return answer{s, err}
}

// Init is part of tea.Model.
func (m topModel) Init() tea.Cmd { return m.get }

// Update is part of tea.Model.
func (m topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyMsg:
		switch msg.String() {
		case "q", "esc", "ctrl+c":
			return m, tea.Quit
		case "tab", "right", "down":
			m.pool++
		case "shift+tab", "left", "up":
			m.pool--
		}
	case answer:
		if m.failed = msg.err; msg.err == nil {
			m.status = msg.status
		}
		return m, tea.Tick(time.Second, func(time.Time) tea.Msg { return m.get() })
	}
	return m, nil
}

var (
	strong   = lipgloss.NewStyle().Bold(true)
	faint    = lipgloss.NewStyle().Faint(true)
	filled   = lipgloss.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: "26", Dark: "75"})
	verdicts = map[string]lipgloss.Style{
		"ok":   lipgloss.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: "28", Dark: "78"}),
		"warn": lipgloss.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: "130", Dark: "215"}),
		"bad":  lipgloss.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: "160", Dark: "203"}),
	}
	states = map[string]lipgloss.Style{status.Up: verdicts["ok"], status.Ejected: verdicts["warn"], status.Down: verdicts["bad"]}
)

// View is part of tea.Model.
func (m topModel) View() string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(lipgloss.NewStyle().MaxWidth(m.width).Render(fmt.Sprintf(format, args...)) + "\n")
	}
	if m.failed != nil {
		line("%s", verdicts["bad"].Render(m.failed.Error()))
	}
	switch {
	case m.status == nil:
		return b.String()
	case len(m.status.Pools) == 0:
		line("%s  %s  no pools", strong.Render("Ringway"), m.status.Version)
		return b.String()
	}
	s := m.status
	at := ((m.pool % len(s.Pools)) + len(s.Pools)) % len(s.Pools)
	p := &s.Pools[at]
	line("%s  %s  up for %s  %s", strong.Render("Ringway"), s.Version, s.Time.Sub(s.Started).Round(time.Second), faint.Render(fmt.Sprintf("pool %d of %d", at+1, len(s.Pools))))
	line("")
	line("%s  %s  %s  %d clients", strong.Render(printable(p.Name)), p.Listen, p.Distribution, p.Clients)
	line("%s", verdicts[p.Verdict.Level].Render(printable(p.Verdict.Text)))
	line("")
	line("%8.0f requests/s %s   p50 %.2f ms   p99 %.2f ms   %.0f errors/s", p.Requests, sparkline(p.History.Requests, 30), p.P50, p.P99, p.Errors)
	line("")
	m.nodes(line, p)
	line("")
	m.hotKeys(line, p)
	line("")
	for _, e := range s.Events[:min(len(s.Events), max(0, m.height-strings.Count(b.String(), "\n")-1), 20)] {
		line("%s %-5s %s %s", faint.Render(e.Time.Local().Format(time.TimeOnly)), e.Level, printable(e.Text), faint.Render(printable(e.About)))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// nodes draws a bar of each node's load; a stroke in it is where its share of the keys is.
func (m topModel) nodes(line func(string, ...any), p *status.Pool) {
	most, name := 1e-9, 4
	for _, n := range p.Nodes {
		most, name = max(most, n.Load, n.Keys), max(name, len(n.Name))
	}
	const width = 32
	line("%s", faint.Render(fmt.Sprintf("%-*s  %-*s  load   keys  requests/s  in flight  state", name, "node", width, "share of requests (| share of keys)")))
	for _, n := range p.Nodes {
		bar := []rune(strings.Repeat("█", int(n.Load/most*width+0.5)) + strings.Repeat(" ", width))[:width]
		if n.Keys > 0 {
			bar[min(width-1, int(n.Keys/most*width))] = '|'
		}
		line("%-*s  %s  %3.0f %%  %3.0f %%  %10.0f  %9d  %s", name, printable(n.Name), filled.Render(string(bar)), 100*n.Load, 100*n.Keys, n.Requests, n.InFlight, states[n.State].Render(n.State))
	}
}

func (m topModel) hotKeys(line func(string, ...any), p *status.Pool) {
	const most = 8
	line("%s", faint.Render(fmt.Sprintf("keys asked for most (hot_keys: %s)", p.HotMode)))
	for _, k := range p.HotKeys[:min(len(p.HotKeys), most)] {
		what := k.Tier
		if k.Tier == "copies" {
			what = fmt.Sprintf("on %d nodes", k.Copies)
		}
		line("%5.1f %%  %7d reads/s  %6d writes/s  %-10s  %-10s  %s", 100*k.Share, k.Reads, k.Writes, printable(k.Node), what, printable(k.Key))
	}
}

// sparkline draws the last values.
func sparkline(values []float64, width int) string {
	values = values[max(0, len(values)-width):]
	most := 1e-9
	for _, v := range values {
		most = max(most, v)
	}
	line := make([]rune, len(values))
	for i, v := range values {
		line[i] = []rune("▁▂▃▄▅▆▇█")[min(7, int(v/most*8))]
	}
	return filled.Render(string(line))
}

// printable keeps what others have named from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
