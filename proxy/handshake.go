package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"ringway/internal/loop"
	"ringway/internal/metrics"
)

// shakeHands does the TLS handshake of a client, away from the loop, and begins its session after that.
func (w *worker) shakeHands(ps *poolState, fd int, peer string) {
	sp := ps.shared
	w.server.handshakes.Begin(fd, sp.tls.Config(), sp.cfg.TLS.HandshakeTimeout, func(link loop.Link, err error) {
		if w.loop.Post(func() { w.handsShaken(ps, link, peer, err) }) {
			return
		}
		sp.discount(peer)
		if err == nil {
			link.Close()
		}
	})
}

func (w *worker) handsShaken(ps *poolState, link loop.Link, peer string, err error) {
	if err != nil {
		ps.shared.discount(peer)
		result, reason := handshakeFailure(err)
		ps.stats.Handshakes[result]++
		w.tellHandshake(ps, peer, reason)
		return
	}
	if ps.left {
		ps.shared.discount(peer)
		link.Close()
		return
	}
	result := metrics.HandshakeDone
	if link.TLS.State().DidResume {
		result = metrics.HandshakeResumed
	}
	ps.stats.Handshakes[result]++
	w.accept(ps, link, peer)
}

// handshakeFailure says in which of a few ways a handshake has failed, and why in words.
func handshakeFailure(err error) (metrics.Handshake, string) {
	var (
		plain   tls.RecordHeaderError
		unknown *tls.CertificateVerificationError
		op      *net.OpError
		ne      net.Error
	)
	text := strings.TrimPrefix(err.Error(), "tls: ")
	switch {
	case errors.Is(err, loop.ErrCrowded):
		return metrics.HandshakeCrowded, text
	case errors.As(err, &plain) && plain.Conn != nil: // otherwise it is TLS in some way
		return metrics.HandshakePlain, "it does not speak TLS"
	case errors.As(err, &unknown):
		return metrics.HandshakeCertificate, text
	case strings.Contains(text, "didn't provide a certificate"):
		return metrics.HandshakeNoCertificate, "it has no certificate"
	case strings.Contains(text, "unsupported versions"), strings.Contains(text, "protocol version"):
		return metrics.HandshakeVersion, text
	case errors.As(err, &op) && op.Op == "remote error":
		return metrics.HandshakeRefused, "it refuses: " + op.Err.Error()
	case errors.As(err, &ne) && ne.Timeout():
		return metrics.HandshakeTimeout, "it did not finish in time"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return metrics.HandshakeClosed, "it closed the connection"
	}
	return metrics.HandshakeOther, text
}

// handshakeLines is how many failed handshakes a loop logs each second, so that a scan of ports does not fill the disk. All are counted.
const handshakeLines = 10

// tellHandshake logs a handshake that has failed.
func (w *worker) tellHandshake(ps *poolState, peer, reason string) {
	if second := w.loop.Now() / 1e9; second != w.handshakeSecond {
		if left := w.handshakeLines - handshakeLines; left > 0 {
			w.log.Warn("more TLS handshakes have failed", "number", left)
		}
		w.handshakeSecond, w.handshakeLines = second, 0
	}
	if w.handshakeLines++; w.handshakeLines <= handshakeLines {
		w.log.Warn("TLS handshake failed", "pool", ps.shared.cfg.Name, "client", peer, "reason", reason)
	}
}

// helloOfTLS reports whether what a client sent first is the beginning of TLS and no request.
func helloOfTLS(b []byte) bool { return len(b) >= 2 && b[0] == 0x16 && b[1] == 3 }

// speaksTLS lets go of a client that speaks TLS where there is none. An alert is what it understands.
func (s *Session) speaksTLS() {
	s.pool.stats.Handshakes[metrics.HandshakeToPlain]++
	s.worker.tellHandshake(s.pool, s.peer, "it speaks TLS to an address that does not")
	s.conn.Append([]byte{21, 3, 1, 0, 2, 2, 40}) // handshake_failure
	s.closing = true
}
