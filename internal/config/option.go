package config

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"ringway/hashring"
)

// option is one line that a pool of a proxy.yml can have, except backends. Reading, writing and describing all go by
// the table below, so that they can't drift apart.
type option struct {
	name string
	set  func(p *Pool, text string) error // the error begins with the option's name
	text func(p *Pool) string             // what set would take
}

// poolOptions is in the order in which WriteYAML writes.
var poolOptions = []option{
	checked("name", parseName, printText, func(p *Pool) *string { return &p.Name }),
	checked("listen", parseListen, printText, func(p *Pool) *string { return &p.Listen }),
	checked("listen_mode", parseMode, printMode, func(p *Pool) *os.FileMode { return &p.ListenMode }),

	choice("distribution", func(p *Pool) *string { return &p.Distribution }, hashring.Distributions()),
	choice("hash", func(p *Pool) *string { return &p.Hash }, hashring.Hashes()),
	checked("hash_tag", parseHashTag, printText, func(p *Pool) *string { return &p.HashTag }),
	whole("virtual_nodes", func(p *Pool) *int { return &p.VirtualNodes }, 2, 1000),
	checked("load_bound", parseLoadBound, printFloat, func(p *Pool) *float64 { return &p.LoadBound }),
	flag("unsigned_char", func(p *Pool) *bool { return &p.UnsignedChar }),

	duration("timeout", func(p *Pool) *time.Duration { return &p.Timeout }, "waits for ever"),
	duration("connect_timeout", func(p *Pool) *time.Duration { return &p.ConnectTimeout }, "waits for ever"),
	flag("preconnect", func(p *Pool) *bool { return &p.Preconnect }),
	choice("on_failure", func(p *Pool) *string { return &p.OnFailure }, []string{"fail", "eject"}),
	whole("failure_limit", func(p *Pool) *int { return &p.FailureLimit }, 1, math.MaxInt32),
	duration("retry_timeout", func(p *Pool) *time.Duration { return &p.RetryTimeout }, ""),

	text("username", func(p *Pool) *string { return &p.Username }),
	secret("password", func(p *Pool) *Secret { return &p.Password }),
	secret("requirepass", func(p *Pool) *Secret { return &p.RequirePass }),
	whole("database", func(p *Pool) *int { return &p.Database }, 0, math.MaxInt32),

	flag("cluster_mode", func(p *Pool) *bool { return &p.ClusterMode }),

	whole("max_clients", func(p *Pool) *int { return &p.MaxClients }, 0, math.MaxInt32),
	whole("pipeline_window", func(p *Pool) *int { return &p.Window }, 1, 1<<20),
	size("max_request_size", func(p *Pool) *int { return &p.MaxRequestSize }, 1<<10, 1<<30),
	size("client_output_limit", func(p *Pool) *int { return &p.ClientOutputLimit }, 1<<10, 1<<30),
	duration("client_stall_timeout", func(p *Pool) *time.Duration { return &p.ClientStall }, "never closes it"),
	size("backend_output_limit", func(p *Pool) *int { return &p.NodeOutputLimit }, 1<<10, 1<<30),
	whole("backlog", func(p *Pool) *int { return &p.Backlog }, 1, 65535),
	flag("tcpkeepalive", func(p *Pool) *bool { return &p.TCPKeepAlive }),
	flag("reuseport", func(p *Pool) *bool { return &p.ReusePort }),
}

// checked makes an option of a parser, a printer and the field.
func checked[T any](name string, parse func(string) (T, error), print func(T) string, field func(*Pool) *T) option {
	return option{
		name: name,
		set: func(p *Pool, text string) error {
			v, err := parse(text)
			if err != nil {
				return fmt.Errorf("%s %w", name, err)
			}
			*field(p) = v
			return nil
		},
		text: func(p *Pool) string { return print(*field(p)) },
	}
}

func text(name string, field func(*Pool) *string) option {
	return checked(name, func(s string) (string, error) { return s, nil }, printText, field)
}

// secret never has an error, since an error would show what it is about.
func secret(name string, field func(*Pool) *Secret) option {
	return checked(name, func(s string) (Secret, error) { return Secret(s), nil }, Secret.Reveal, field)
}

func whole(name string, field func(*Pool) *int, least, most int) option {
	return checked(name, func(s string) (int, error) { return parseWhole(s, least, most) }, strconv.Itoa, field)
}

func size(name string, field func(*Pool) *int, least, most int) option {
	return checked(name, func(s string) (int, error) { return parseSize(s, least, most) }, printSize, field)
}

func flag(name string, field func(*Pool) *bool) option {
	return checked(name, parseFlag, strconv.FormatBool, field)
}

func duration(name string, field func(*Pool) *time.Duration, zero string) option {
	return checked(name, func(s string) (time.Duration, error) { return parseDuration(s, zero) }, printDuration, field)
}

func choice(name string, field func(*Pool) *string, choices []string) option {
	return option{
		name: name,
		set: func(p *Pool, text string) error {
			v, err := parseChoice(text, name, choices)
			if err == nil {
				*field(p) = v
			}
			return err
		},
		text: func(p *Pool) string { return *field(p) },
	}
}

func printText(s string) string { return s }

func printFloat(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
