package proxy

import (
	"time"

	"ringway/internal/loop"
	"ringway/internal/metrics"
)

// A read costs a turn of the loop, whatever it brings. A client that sends a request byte by byte has a turn for each, all of which others wait for; what it has to say is read as soon, and
// with fewer turns, if it is left to gather for a moment.
const (
	smallPiece  = 128                   // bytes: a read of fewer that ends no request is a piece
	freePieces  = 64                    // that a client may send in piecesSpan as if nothing were
	piecesSpan  = 10 * time.Millisecond // a client that sends a request in six, and a thousand of them a second, is below that
	piecesPause = time.Millisecond      // before it is read again
)

// pieces counts those of a client.
type pieces struct {
	n    int
	from int64
	rest *loop.Timer
}

// tookPiece is called when a read has brought little, and not the end of a request.
func (s *Session) tookPiece() {
	p, now := s.pieces, s.worker.loop.Now()
	if p == nil {
		p = &pieces{from: now, rest: loop.NewTimer(func() { s.relieve(metrics.StallPieces) })}
		s.pieces = p
	}
	if now-p.from > int64(piecesSpan) {
		p.from, p.n = now, 0
	}
	if p.n++; p.n > freePieces {
		s.stall(metrics.StallPieces)
		s.worker.loop.SetTimer(p.rest, piecesPause)
	}
}
