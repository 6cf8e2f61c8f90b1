package proxy

import (
	"context"
	"time"

	"ringway/internal/loop"
	"ringway/pool"
)

// How a server ends. Until Shutdown it serves all who are there and all who come.
//
//	Leave     not ready; of listeners that others share it steps aside: new clients go to the others
//	Shutdown  accepts who is waiting, and closes the listeners
//	          each client is let go at the first moment at which it has all its replies and has sent nothing new
//	          after half the time who never pauses is cut short: what it has sent later is not read
//	          after all of it: transactions, blocked clients, nodes that do not answer
//
// A client that is let go has its stream ended and not reset: it gets every reply that was sent to it. What it sends after its last reply is
// not carried out, not even in part, so it may safely send that again elsewhere. That is the promise (TestRestartUnderLoad); only who is still there
// when the time is over may have something under way of which it never hears.

const (
	// asideTime is how long a listener that has stepped aside stays open at least: handshakes that were under way end there.
	asideTime = time.Second
	// farewellTime is how long clients have to take their last replies.
	farewellTime = time.Second
	// justCome is how long a client may take to ask for something, or for its handshake.
	justCome = time.Second
)

// Leave says that the server is about to stop. It goes on serving, but is not ready, and lets other processes that listen on the same addresses have the
// new clients. It reports whether there are such for all addresses.
func (srv *Server) Leave() (handedOver bool) {
	if srv.leaving.Swap(true) || !srv.running {
		return false
	}
	handedOver = true
	for _, sp := range srv.open() {
		if sp.door != nil {
			handedOver = srv.stepAside(sp) && handedOver
		}
	}
	return handedOver
}

// stepAside has new clients of a pool go to another process, if one listens where it does.
func (srv *Server) stepAside(sp *sharedPool) bool {
	if !sp.cfg.ReusePort {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	others, err := sp.door.StepAside(ctx)
	switch {
	case err != nil:
		srv.log.Warn("cannot hand new clients over to the others that listen here; some may be reset", "pool", sp.cfg.Name, "listen", sp.door.Addr(), "error", err)
	case others:
		srv.log.Info("new clients go to the others that listen here", "pool", sp.cfg.Name, "listen", sp.door.Addr())
		sp.door.asideSince = time.Now()
		sp.door.among, _ = loop.Listeners(sp.door.Addr())
	}
	return err == nil && others
}

// closeDoors stops accepting. Who has connected before that is accepted still.
func (srv *Server) closeDoors(grace time.Duration) {
	for _, sp := range srv.open() {
		d := sp.door
		if d == nil {
			continue
		}
		if d.among > 0 {
			time.Sleep(min(grace/2, asideTime-time.Since(d.asideSince)))
			if n, err := loop.Listeners(d.Addr()); err == nil && n != d.among { // they choose anew when one has come
				srv.stepAside(sp)
			}
		}
		d.home.wait(d.CloseEmpty)
	}
}

// Shutdown stops accepting, lets clients go when what they have asked is answered, for at most grace, then closes everything. It returns how many
// clients were cut off by that.
func (srv *Server) Shutdown(grace time.Duration) (cutOff int) {
	srv.Leave()
	srv.closed.Store(true)
	if !srv.running {
		srv.handshakes.Close()
		srv.closeListeners()
		srv.closeTracer()
		return 0
	}
	begin := time.Now()
	srv.closeDoors(grace)
	srv.onLoops(func(w *worker) { w.leaving = true })
	handshakes := time.AfterFunc(min(grace/2, justCome), srv.handshakes.Close)
	for srv.letGo(time.Since(begin) >= grace/2) && time.Since(begin) < grace {
		time.Sleep(5 * time.Millisecond)
	}
	handshakes.Stop()
	srv.handshakes.Close()
	for end := min(grace, time.Since(begin)+farewellTime); srv.farewells() > 0 && time.Since(begin) < end; {
		time.Sleep(5 * time.Millisecond)
	}
	srv.onLoops(func(w *worker) { cutOff += w.count })
	srv.memory.set(0)
	for _, sp := range srv.open() {
		sp.director.stop()
	}
	for _, w := range srv.workers {
		w.loop.Post(w.closeAll)
		w.loop.Stop()
	}
	for _, w := range srv.workers {
		<-w.loop.Done()
	}
	for _, sp := range srv.open() {
		sp.director.leaveRegistry()
	}
	srv.closeTracer()
	return cutOff
}

// farewells is how many clients that were let go have not closed their side.
func (srv *Server) farewells() (n int) {
	srv.onLoops(func(w *worker) { n += w.loop.Farewells() })
	return n
}

// letGo lets those clients go that wait for nothing, all of them if they are cut short, and reports whether any are left, or on their way in.
func (srv *Server) letGo(cutShort bool) (left bool) {
	srv.onLoops(func(w *worker) {
		for s := w.sessions; s != nil; {
			next := s.next
			s.leaving = true
			if cutShort && !s.midway() {
				s.endAfterReplies()
			} else {
				s.maybeClose()
			}
			left = left || !s.conn.Closed()
			s = next
		}
	})
	for _, sp := range srv.open() {
		left = left || sp.clients.Load() > 0
	}
	return left
}

// midway reports whether the client is in the middle of something that only it can end, or the node: a transaction, or a wait.
func (s *Session) midway() bool { return s.tx != nil || s.watch.lane != nil || s.blocked != nil }

// mayLeave reports whether nothing is lost to the client if it is let go now. One that has just come is about to ask something.
func (s *Session) mayLeave() bool {
	asked := s.total > 0 || s.worker.loop.Now()-s.created > int64(justCome)
	return asked && s.off == len(s.in) && s.stalls == 0 && !s.resumes && len(s.ops) == 0 && !s.midway() && s.conn.Quiet()
}

// closeAll closes what is left: clients and lanes.
func (w *worker) closeAll() {
	for s := w.sessions; s != nil; {
		next := s.next
		s.drop()
		s = next
	}
	for _, ps := range w.pools {
		if ps == nil {
			continue
		}
		for _, set := range ps.sets {
			set.Each((*pool.Lane).Close)
		}
		if ps.pubsub != nil {
			ps.pubsub.close()
		}
	}
}
