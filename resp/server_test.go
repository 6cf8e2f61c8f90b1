package resp

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// startRedis starts a redis-server of our own on a Unix socket and returns the socket's path.
func startRedis(t *testing.T, args ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "resp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	server := exec.Command("redis-server", append([]string{
		"--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir,
	}, args...)...)
	log, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatalf("cannot start redis-server, which this test compares with: %v", err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	lines := bufio.NewScanner(log)
	var said strings.Builder
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "ready to accept connections") {
			go io.Copy(io.Discard, log)
			return socket
		}
	}
	t.Fatalf("redis-server is not ready:\n%s", said.String())
	return ""
}

// talk sends all of in, half closes, and returns all that comes back until the server closes.
func talk(t *testing.T, socket string, in []byte) []byte {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	var sent sync.WaitGroup
	sent.Go(func() {
		conn.Write(in) // fails if the server has closed, which is one of the things to learn
		conn.(*net.UnixConn).CloseWrite()
	})
	out, err := io.ReadAll(conn)
	sent.Wait()
	if err != nil && !strings.Contains(err.Error(), "connection reset") {
		t.Fatalf("%.100q: %v", in, err)
	}
	return out
}

// canonical reads a stream with a scanner and returns what it would forward, and the error to be answered after that.
func canonical(in []byte) (requests, errorReply []byte) {
	var s RequestScanner
	s.Limits.MaxArgs = 1<<31 - 1 // as Redis 7 has it
	for {
		n, err := s.Scan(in)
		if err != nil {
			return requests, AppendError(nil, err.Error())
		}
		if n == 0 {
			return requests, nil
		}
		if s.Args.Len() > 0 {
			requests = append(requests, s.Bytes(in)...)
		}
		in = in[n:]
	}
}

// checkLikeRedis sends a stream to a real server, and then what the scanner makes of it. The replies must be the same,
// and where the scanner finds an error, the server must say so in the same words.
func checkLikeRedis(t *testing.T, socket string, in []byte) {
	t.Helper()
	requests, errorReply := canonical(in)
	want := talk(t, socket, in)
	got := append(talk(t, socket, requests), errorReply...)
	if !bytes.Equal(got, want) {
		t.Errorf("%.200q\ngot  %.500q\nwant %.500q", in, got, want)
	}
}

func TestRequestsAreReadAsRedisReadsThem(t *testing.T) {
	socket := startRedis(t)
	for _, sample := range requestSamples {
		if strings.Contains(sample.in, "\x00") {
			continue // Redis waits for ever; see RequestScanner
		}
		t.Run(sample.name, func(t *testing.T) { checkLikeRedis(t, socket, []byte(sample.in)) })
	}
}

// Streams of harmless commands, spoilt at random. The arguments of an unknown command come back in the error.
func TestSpoiltRequestsAreReadAsRedisReadsThem(t *testing.T) {
	socket := startRedis(t)
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	junk := []string{
		"\r", "\n", "\r\n", "*", "$", "-", "+", "0", "1", "9", " ", "\t", "\v", "\"", "'", "\\", "\\x41", "\\n", "x", "\xff", "$0\r\n\r\n",
	}
	for range 3000 {
		var in []byte
		for range 1 + random.IntN(4) {
			switch random.IntN(3) {
			case 0:
				in = AppendCommand(in, "ECHO", pick("", "a", "\r\n", text(12)))
			case 1:
				in = AppendCommand(in, "nothing", pick("a", "'b'", ""), pick("c", text(11)))
			case 2:
				in = append(in, pick("echo", "nothing ")...)
				for range random.IntN(4) {
					in = append(in, pick(" ", "  ", "\t", "")...)
					in = append(in, pick("a", `"b c"`, `'d e'`, `"\x41\n\z"`, `"\""`, `'\''`, `\x41`, `"a"b`)...)
				}
				in = append(in, pick("\r\n", "\n")...)
			}
		}
		for range random.IntN(3) {
			at := random.IntN(len(in))
			switch random.IntN(3) {
			case 0:
				in = append(in[:at:at], append([]byte(pick(junk...)), in[at:]...)...)
			case 1:
				in = append(in[:at:at], in[at+1:]...)
			case 2:
				in = append(in[:at:at], append([]byte(pick(junk...)), in[at+1:]...)...)
			}
			if len(in) == 0 {
				in = []byte("\n")
			}
		}
		checkLikeRedis(t, socket, in)
		if t.Failed() {
			return
		}
	}
}
