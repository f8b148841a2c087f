package trial

import (
	"context"
	"math/rand/v2"
)

// crew is the instances of one run. Without chaos it is one, replaced when it is spent.
type crew struct {
	module Module
	chaos  *chaos
	seats  []Instance // nil where there is none yet
	at     int        // whose turn it is

	made int
	peak int // bytes
}

// chaos decides when instances go and take turns.
type chaos struct {
	random       *rand.Rand
	rarity       int // one turn in so many throws an instance away
	turns        int // decisions so far
	thrown, took int // instances thrown away, and turns given to another one
}

// maxSeats is how many instances take turns. A host has one for each lane.
const maxSeats = 3

func newCrew(m Module, c *chaos) crew {
	seats := 1
	if c != nil {
		seats = maxSeats
	}
	return crew{module: m, chaos: c, seats: make([]Instance, seats)}
}

// next returns the instance that handles next.
func (c *crew) next(ctx context.Context) (Instance, error) {
	throw := c.chaos.decide(c)
	in := c.seats[c.at]
	if in != nil && (throw || in.Spent()) {
		c.seats[c.at] = nil
		if err := in.Close(ctx); err != nil {
			return nil, err
		}
		in = nil
	}
	if in == nil {
		var err error
		if in, err = c.module.NewInstance(ctx); err != nil {
			return nil, err
		}
		c.seats[c.at] = in
		c.made++
		c.measure(in)
	}
	return in, nil
}

// decide gives the turn to some instance and reports whether that one is thrown away first. The second turn is always a
// new instance's, so that the shortest run has one.
func (c *chaos) decide(crew *crew) bool {
	if c == nil {
		return false
	}
	c.turns++
	throw, move := c.random.IntN(c.rarity) == 0, c.random.IntN(4) == 0
	switch {
	case c.turns == 1:
		return false
	case c.turns == 2 || throw:
		c.thrown++
		return true
	case move:
		c.took++
		crew.at = (crew.at + 1 + c.random.IntN(len(crew.seats)-1)) % len(crew.seats)
	}
	return false
}

func (c *crew) measure(in Instance) { c.peak = max(c.peak, in.MemorySize()) }

func (c *crew) close() {
	for i, in := range c.seats {
		if in != nil {
			// Nothing is left to be done with it, and its module's owner hears of what stays open.
			_ = in.Close(context.Background())
			c.seats[i] = nil
		}
	}
}
