package proxy

import (
	"crypto/rand"
	"encoding/hex"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

const (
	mostPassBits = 4096
	errPassBits  = "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096"
)

// acl answers what needs no users but the one that everybody is.
func (s *Session) acl(sub string, a *resp.Args) {
	switch {
	case sub == "whoami":
		s.answerBulk([]byte("default"))
	case a.Len() > 3:
		s.refuse(metrics.BadCommand, "ERR unknown subcommand or wrong number of arguments for '"+string(a.At(1))+"'. Try ACL HELP.")
	case sub == "cat":
		s.worker.scratch = command.AppendCategories(s.worker.scratch[:0], a)
		s.answer(s.worker.scratch)
	case sub == "genpass":
		s.genPass(a)
	}
}

// genPass is ACL GENPASS [bits]: random bits, 256 by default, four to a digit.
func (s *Session) genPass(a *resp.Args) {
	bits := 256
	if a.Len() == 3 {
		n, ok := integer(a.At(2))
		if !ok {
			s.refuse(metrics.BadCommand, errNotInteger)
			return
		}
		bits = n
	}
	if bits <= 0 || bits > mostPassBits {
		s.refuse(metrics.BadCommand, errPassBits)
		return
	}
	digits := (bits + 3) / 4
	random := make([]byte, (digits+1)/2)
	rand.Read(random)
	s.answerBulk([]byte(hex.EncodeToString(random)[:digits]))
}
