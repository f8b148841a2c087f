package redis

import (
	"sync"
	"time"
)

// pace decides how often this host polls. It polls rarely only for a moment after it heard another one say that that
// one polls, so whatever goes wrong ends it without anybody's doing.
type pace struct {
	o Options

	mu      sync.Mutex
	rare    bool
	allowed bool
	heard   time.Time
	timer   *time.Timer
	stopped bool
}

func newPace(o Options) *pace {
	p := &pace{o: o}
	p.timer = time.AfterFunc(time.Hour, p.expire)
	p.timer.Stop()
	return p
}

// allow says whether this host may rely on others. One that must not polls as usual at once.
func (p *pace) allow(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = yes
	if !yes {
		p.set(false)
	}
}

// beat says that another host polls for all.
func (p *pace) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.allowed || p.stopped {
		return
	}
	p.heard = time.Now()
	p.timer.Reset(p.o.quietAfter())
	p.set(true)
}

// forget polls as usual until the next beat.
func (p *pace) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(false)
}

// expire ends what no further beat has prolonged.
func (p *pace) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := p.o.quietAfter() - time.Since(p.heard); left > 0 && !p.stopped { // a beat has come in between
		p.timer.Reset(left)
		return
	}
	p.set(false)
}

// set changes the pace. The lock is held.
func (p *pace) set(rare bool) {
	if rare == p.rare {
		return
	}
	p.rare = rare
	if rare {
		p.o.SetMaxPoll(p.o.RarePoll)
		return
	}
	p.o.SetMaxPoll(p.o.PollMax)
	p.o.Wake() // a long pause may have begun
}

// usual polls as without Redis until it is allowed not to.
func (p *pace) usual() { p.allow(false) }

func (p *pace) isRare() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rare
}

// stop polls as usual from now on.
func (p *pace) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped, p.allowed = true, false
	p.timer.Stop()
	p.set(false)
}
