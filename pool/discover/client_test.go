package discover

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// pieces is a connection from which bytes come in small pieces, then the end.
type pieces struct {
	net.Conn
	text string
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 7)], p.text)
	p.text = p.text[n:]
	return n, nil
}

func read(text string) (value, error) { return (&client{conn: &pieces{text: text}}).next() }

func TestClientReadsReplies(t *testing.T) {
	c := &client{conn: &pieces{text: "+OK\r\n-ERR no\r\n:12\r\n$-1\r\n*-1\r\n$4\r\na\r\nb\r\n*2\r\n$1\r\n9\r\n*1\r\n:-3\r\n"}}
	next := func() value {
		t.Helper()
		v, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := next(); v.text != "OK" || v.err() != nil {
		t.Errorf("%+v", v)
	}
	if v := next(); v.err() == nil || v.err().Error() != "ERR no" {
		t.Errorf("%+v", v)
	}
	if v := next(); v.number() != 12 {
		t.Errorf("%+v", v)
	}
	if v := next(); !v.null || v.kind != '$' {
		t.Errorf("%+v", v)
	}
	if v := next(); !v.null || v.kind != '*' {
		t.Errorf("%+v", v)
	}
	if v := next(); v.text != "a\r\nb" {
		t.Errorf("%+v", v)
	}
	if v := next(); v.elem(0).number() != 9 || v.elem(1).elem(0).text != "-3" || v.elem(1).elem(0).number() != 0 || v.elem(7).text != "" {
		t.Errorf("%+v", v)
	}
	if _, err := c.next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestClientRefusesWhatIsNotRESP2(t *testing.T) {
	for text, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n":          "no type",
		"$5\r\nabcdefgh":                        "not by a line end",
		"%1\r\n+a\r\n+b\r\n":                    "not RESP2",
		"*1\r\n_\r\n":                           "not RESP2",
		"|1\r\n+a\r\n+b\r\n+c\r\n":              "not RESP2",
		"*99999999999\r\n":                      "is over",
		"*1000000\r\n":                          "EOF",
		strings.Repeat("*1\r\n", 20) + ":1\r\n": "without end",
		"":                                      "EOF",
	} {
		if v, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is read as %+v, %v", text, v, err)
		}
	}
}

func TestClientConnects(t *testing.T) {
	opt := Options{Timeout: 300 * time.Millisecond}.filled(time.Second)
	server := redistest.Server(t)
	server.Do("ACL", "SETUSER", "router", "on", ">sesame", "+@all")
	server.Do("CONFIG", "SET", "requirepass", "secret")

	t.Run("with a password, with a name as well, and not with a wrong one", func(t *testing.T) {
		for _, test := range []struct{ username, password, want string }{
			{"", "secret", ""}, {"router", "sesame", ""}, {"", "wrong", "AUTH: WRONGPASS"}, {"router", "wrong", "AUTH: WRONGPASS"},
		} {
			c, err := connect(t.Context(), &opt, server.Addr(), test.username, test.password)
			if test.want != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.want) || strings.Contains(err.Error(), "wrong") {
					t.Errorf("%+v: %v", test, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if v, err := c.ask([]string{"PING"}); err != nil || v[0].text != "PONG" {
				t.Errorf("%+v: %+v, %v", test, v, err)
			}
			c.close()
		}
	})
	t.Run("and gives up when the server is silent", func(t *testing.T) {
		server.Stop()
		defer server.Cont()
		if _, err := connect(t.Context(), &opt, server.Addr(), "", "secret"); !timedOut(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("and gives up when ctx ends", func(t *testing.T) {
		server.Stop()
		defer server.Cont()
		patient := Options{Timeout: time.Hour}.filled(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		c, err := connect(ctx, &patient, server.Addr(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		go cancel()
		if _, err := c.ask([]string{"PING"}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("through Dial", func(t *testing.T) {
		opt := Options{Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(address, "magic://"))
		}}.filled(time.Second)
		c, err := connect(t.Context(), &opt, "magic://"+server.Addr(), "", "secret")
		if err != nil {
			t.Fatal(err)
		}
		c.close()
	})
	t.Run("to a socket file", func(t *testing.T) {
		path := t.TempDir() + "/s"
		redistest.Server(t, "--unixsocket", path)
		c, err := connect(t.Context(), &opt, "unix://"+path, "", "")
		if err != nil {
			t.Fatal(err)
		}
		c.close()
	})
}
