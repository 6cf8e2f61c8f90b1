package proxy

import (
	"strings"

	"ringway/internal/command"
	"ringway/internal/metrics"
	"ringway/resp"
)

// CLIENT TRACKING is answered so that clients which cache by default work, and never see an old value: a server may drop a key from
// its tracking table at any time, with an invalidation, and Ringway does so right after each read. A client's cache is
// correct, and of no use. Modes that promise to tell of writes as such are refused.

// tracking is what CLIENT TRACKING has set.
type tracking struct {
	optIn, optOut, noLoop bool
	caching               bool     // CLIENT CACHING was sent: it is about the next request
	fresh                 bool     // it was this request
	keys                  [][]byte // read in the transaction that is being queued
}

const (
	errNotTracking = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
	errTracking    = "ERR CLIENT TRACKING with BCAST, PREFIX or REDIRECT is refused: the router is not told of the nodes' writes; use tracking without it, or no client-side cache"
)

// track is CLIENT TRACKING ON|OFF [OPTIN] [OPTOUT] [NOLOOP].
func (s *Session) track(a *resp.Args) {
	t := &tracking{}
	refused := false
	for i := 3; i < a.Len(); i++ {
		switch option := strings.ToUpper(string(a.At(i))); {
		case option == "OPTIN":
			t.optIn = true
		case option == "OPTOUT":
			t.optOut = true
		case option == "NOLOOP":
			t.noLoop = true
		case option == "BCAST":
			refused = true
		case (option == "REDIRECT" || option == "PREFIX") && i+1 < a.Len():
			refused = true
			i++
		default:
			s.refuse(metrics.BadCommand, errSyntax)
			return
		}
	}
	switch on := a.At(2); {
	case equalFold(on, "off"):
		s.tracking = nil
	case !equalFold(on, "on"):
		s.refuse(metrics.BadCommand, errSyntax)
		return
	case refused:
		s.refuse(metrics.BadCommand, errTracking)
		return
	case t.optIn && t.optOut:
		s.refuse(metrics.BadCommand, "ERR You can't specify both OPTIN mode and OPTOUT mode")
		return
	case s.tracking != nil && (s.tracking.optIn != t.optIn || s.tracking.optOut != t.optOut):
		s.refuse(metrics.BadCommand, "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.")
		return
	default:
		s.tracking = t
	}
	s.update()
	s.answerOK()
}

// setCaching is CLIENT CACHING YES|NO.
func (s *Session) setCaching(a *resp.Args) {
	t, yes, no := s.tracking, equalFold(a.At(2), "yes"), equalFold(a.At(2), "no")
	switch {
	case t == nil || !t.optIn && !t.optOut && (yes || no):
		if t != nil && yes {
			s.refuse(metrics.BadCommand, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
		} else if t != nil {
			s.refuse(metrics.BadCommand, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
		} else {
			s.refuse(metrics.BadCommand, errNotTracking)
		}
	case yes && !t.optIn:
		s.refuse(metrics.BadCommand, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
	case no && !t.optOut:
		s.refuse(metrics.BadCommand, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
	case !yes && !no:
		s.refuse(metrics.BadCommand, errSyntax)
	default:
		t.caching, t.fresh = true, true
		s.answerOK()
	}
}

// getRedir is CLIENT GETREDIR: 0 while tracking, for there is no redirection.
func (s *Session) getRedir() {
	if s.tracking != nil {
		s.answerInt(0)
	} else {
		s.answerInt(-1)
	}
}

// trackingInfo is CLIENT TRACKINGINFO.
func (s *Session) trackingInfo() {
	flags, redirect := []string{"off"}, int64(-1)
	if t := s.tracking; t != nil {
		flags, redirect = []string{"on"}, 0
		if t.optIn {
			flags = append(flags, "optin")
			if t.caching {
				flags = append(flags, "caching-yes")
			}
		}
		if t.optOut {
			flags = append(flags, "optout")
			if t.caching {
				flags = append(flags, "caching-no")
			}
		}
		if t.noLoop {
			flags = append(flags, "noloop")
		}
	}
	b := resp.AppendMap(s.worker.scratch[:0], s.resp3, 3)
	b = resp.AppendSet(resp.AppendBulkString(b, "flags"), s.resp3, len(flags))
	for _, f := range flags {
		b = resp.AppendBulkString(b, f)
	}
	b = resp.AppendInt(resp.AppendBulkString(b, "redirect"), redirect)
	b = resp.AppendArray(resp.AppendBulkString(b, "prefixes"), 0)
	s.worker.scratch = b
	s.answer(b)
}

// invalidate sends an invalidation behind the reply of a request that reads keys: it takes a slot of its own. Those of a transaction come
// behind EXEC's reply.
func (s *Session) invalidate(c *command.Command, a *resp.Args) {
	t := s.tracking
	switch {
	case c.Name == "exec":
		s.pushInvalidation(t.keys)
		t.keys = nil
	case c.Name == "discard" || c.Name == "multi":
		t.keys = nil
	case s.tracks(c):
		for _, k := range s.keysOf(c, a) {
			t.keys = append(t.keys, append([]byte(nil), k...))
		}
		if s.tx == nil {
			s.pushInvalidation(t.keys)
			t.keys = nil
		}
	}
	if !t.fresh && s.tx == nil {
		t.caching = false
	}
	t.fresh = false
}

// tracks reports whether the client may cache what a command reads.
func (s *Session) tracks(c *command.Command) bool {
	t := s.tracking
	reads := c.Flags.Has(command.ReadOnly) || strings.HasPrefix(c.Name, "eval") || strings.HasPrefix(c.Name, "fcall")
	return reads && s.resp3 && (!t.optIn || t.caching) && (!t.optOut || !t.caching)
}

// keysOf returns a request's keys, lent.
func (s *Session) keysOf(c *command.Command, a *resp.Args) (keys [][]byte) {
	at, err := c.Keys(s.worker.keys[:0], a)
	if err != nil {
		return nil
	}
	s.worker.keys = at[:0]
	for _, i := range at {
		keys = append(keys, a.At(i))
	}
	return keys
}

func (s *Session) pushInvalidation(keys [][]byte) {
	if len(keys) == 0 {
		return
	}
	b := resp.AppendBulkString(resp.AppendPush(nil, 2), "invalidate")
	b = resp.AppendArray(b, len(keys))
	for _, k := range keys {
		b = resp.AppendBulk(b, k)
	}
	s.answer(b)
}
