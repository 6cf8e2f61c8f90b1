package hotmodel

// A version is what the key holds after the write with this number, in the order in which the owner has carried them out. When nobody holds
// the lowest any more, all are renumbered.
type version = uint8

const (
	maxVersions = 4
	maxFrames   = 8

	none    version = 255 // no version
	endless uint8   = 255 // of a time to live: it has none
)

// state is everybody's at one moment. Times are ages, in ticks, up to one that is older than any rule asks for.
type state struct {
	current version
	silent  uint8              // versions that came without an invalidation, as bits
	births  [maxVersions]uint8 // ghost: how long ago a version became current
	lives   [maxVersions]uint8 // what is left of its time to live
	proxies [2]proxy
	copies  uint8   // on the node with copies: the versions it holds, as bits
	fixed   version // what it holds under the one name that there is if copies are mutable
	broken  promise
}

// link is the tracking connection as its proxy sees it.
type link uint8

const (
	down     link = iota
	greeting      // CLIENT TRACKING ON is not answered yet
	tracking
)

// arming is how far a proxy is with a new watch.
type arming uint8

const (
	idle   arming = iota
	looked        // it has noted the generation
	asked         // it has sent PTTL
)

// being is what becomes of a proxy's entry for the key.
type being uint8

const (
	absent being = iota // the key isn't hot
	present
	leaving // the key isn't hot any more: one hold more, for good
	gone    // and the generation has moved on; loops are told
)

// view is what one event loop knows of the entry. Write j and read j are those of loop j.
type view uint8

const (
	unaware view = iota // it doesn't count its writes
	aware
	settled // what it had sent before is over
)

// proxy is one process. A generation is never counted here: whoever has noted one has a bit instead that says whether it is still the
// same, and which everything that moves the generation on takes away.
type proxy struct {
	link   link
	lost   bool // it is, and the proxy has not noticed
	tracks bool // the owner tracks for this connection
	listed bool // the owner will send an invalidation when the key is written
	frames [maxFrames]frame
	queued uint8 // frames on the connection, in both directions
	ready  uint8 // so many of them are on their way back, the others are yet to be carried out

	entry being
	loops [2]view

	arming   arming
	armed    bool    // the generation is what it was then
	watch    bool    // one is published, and stands: its generation is still that of the entry
	left     uint8   // until its deadline
	lease    uint8   // since the newest answered request was sent
	getting  bool    // GET is on its way on the tracking connection
	gettable bool    // and the watch under which it was sent stands
	getLeft  uint8   // of that watch
	digest   version // of the value that copies may be read of
	digLeft  uint8   // of its watch
	fresh    uint8   // since digest's value was asked for
	forms    [2]form
	copying  version // SET of a copy is on its way to the node

	known  version // ghost: nothing older may be served any more
	second version // ghost: what the second of a pair of reads was answered while the first is under way
	lag    uint8   // how old the clock is that the loop goes by, where it doesn't read it anew
	reads  [2]read
	writes [2]write
}

// frame is a request on the tracking connection, its reply, or an invalidation.
type frame struct {
	kind kind
	val  uint8 // of a reply: 1 for OK, a time to live, a version
	age  uint8 // since the request was sent
}

type kind uint8

const (
	track kind = iota + 1 // CLIENT TRACKING ON
	pttl
	get
	ping
	push
)

// form is a reply that a proxy keeps. It goes when its watch does not stand any more, or has ended; that of a newer watch is no end.
type form struct {
	val  version // none: there is no form
	left uint8   // of its watch
	wait uint8   // so many requests on the tracking connection must be answered before it may be served
	age  uint8   // since the reply came; of no matter but where a rule is turned round
}

// stage is how far a read has come.
type stage uint8

const (
	nothing stage = iota
	sent          // to the owner
	replied       // by the owner, and the reply is on its way
	near          // a form was found, and half of what must be asked has been
	apart         // the same, of a copy
	away          // to the node with copies
)

type read struct {
	stage stage
	val   version
	same  bool  // sent, replied: there was a watch when it was sent, and it stands. near, apart: the same of what was found
	left  uint8 // sent, replied: of that watch
	wait  uint8 // the form's
	floor version
	why   promise // whose floor it is
}

// course is how far a write has come.
type course uint8

const (
	quiet   course = iota
	counted        // among the proxy's writers; not forwarded yet
	bumped         // the generation has moved on; not counted yet. Only where the order is turned round
	forwarded
	written // by the owner, and the reply is on its way
	late    // its connection is lost and its client has an error, but it may still be carried out
)

type write struct {
	course course
	blind  bool // its loop did not know the entry when it came
	val    version
}

// promise is what is kept, or broken.
type promise uint8

const (
	own       promise = iota + 1 // nothing older than what was acknowledged or served by this proxy
	bounded                      // nothing that had been overwritten for longer than the lease
	expiry                       // nothing that has expired
	caughtUp                     // nothing overwritten, when no invalidation is on its way
	inOrder                      // nothing older than what the same client was answered to a request before
	unnoticed                    // nothing that was replaced without an invalidation for longer than the greatest age
)

func (p promise) String() string {
	return [...]string{"", "own", "bounded", "expiry", "caught up", "in order", "unnoticed"}[p]
}

// void is what a step of the generation does: no watch stands any more, and all that was kept under one is worth nothing.
func (p *proxy) void() {
	p.armed = false
	p.watch, p.left = false, 0
	p.gettable, p.getLeft = false, 0
	p.digest, p.digLeft, p.fresh = none, 0, 0
	p.forms = [2]form{{val: none}, {val: none}}
	for i := range p.reads {
		p.reads[i].same, p.reads[i].left = false, 0
	}
}

// end ends what is under a watch whose time is over.
func (p *proxy) end() {
	if p.watch && p.left == 0 {
		p.watch = false
	}
	if p.gettable && p.getLeft == 0 {
		p.gettable = false
	}
	if p.digest != none && p.digLeft == 0 {
		p.digest, p.fresh = none, 0
	}
	for i := range p.forms {
		if f := &p.forms[i]; f.val != none && f.left == 0 {
			*f = form{val: none}
		}
	}
	for i := range p.reads {
		if r := &p.reads[i]; (r.stage == sent || r.stage == replied) && r.left == 0 {
			r.same = false
		}
	}
}

// holds is why there can be no watch: local writes that may be carried out at any moment, loops that don't count theirs yet, and that the
// key is not hot any more, which never goes.
func (m *machine) holds(p *proxy) (n int) {
	for j, w := range p.writes {
		if !w.blind && (w.course == counted || w.course == forwarded || w.course == written) {
			n++
		}
		if p.loops[j] != settled && !m.is(unsettled) {
			n++
		}
	}
	if p.entry > present {
		n++
	}
	return n
}

// invalidated reports whether an invalidation is on its way to the proxy.
func (p *proxy) invalidated() bool {
	for _, f := range p.frames[:p.ready] {
		if f.kind == push {
			return true
		}
	}
	return false
}

// outstanding is the number of requests on the tracking connection whose replies the proxy has not seen.
func (p *proxy) outstanding() (n uint8) {
	for _, f := range p.frames[:p.queued] {
		if f.kind != push {
			n++
		}
	}
	return n
}

// insert puts a frame at index i.
func (p *proxy) insert(i uint8, f frame) {
	copy(p.frames[i+1:], p.frames[i:p.queued])
	p.frames[i] = f
	p.queued++
}

func (p *proxy) ask(k kind) { p.insert(p.queued, frame{kind: k}) }

// reply puts a frame behind all that is on its way to the proxy.
func (p *proxy) reply(f frame) {
	p.insert(p.ready, f)
	p.ready++
}

// take removes the first frame.
func (p *proxy) take() frame {
	f := p.frames[0]
	copy(p.frames[:], p.frames[1:])
	p.frames[maxFrames-1] = frame{}
	p.queued--
	p.ready--
	return f
}

// keep leaves the first n frames.
func (p *proxy) keep(n uint8) {
	clear(p.frames[n:])
	p.queued, p.ready = n, n
}

// disconnected is what both sides are without a tracking connection.
func (p *proxy) disconnected() {
	p.keep(0)
	p.link, p.lost, p.tracks, p.listed = down, false, false, false
	p.arming, p.getting = idle, false
}
