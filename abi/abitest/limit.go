package abitest

import (
	"context"
	"fmt"
	"time"
)

// errTime is what ends a call that takes too long.
type errTime struct{ limit time.Duration }

func (e errTime) Error() string { return fmt.Sprintf("it was still running after %v", e.limit) }

// grace is how long a module that is told to stop may take to do so.
const grace = 2 * time.Second

// limited runs the module for as long as it may. A module that cannot be stopped, such as one in the middle of a huge
// memory.fill, is left behind: nothing else is asked of it, and its goroutine ends with the program.
func (m *Module) limited(ctx context.Context, run func(context.Context) error) error {
	if m.stuck {
		return errTime{m.limit}
	}
	if m.limit == 0 {
		return run(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, m.limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	select {
	case err := <-done:
		if ctx.Err() != nil {
			m.late = true
			return errTime{m.limit}
		}
		return err
	case <-time.After(m.limit + grace):
		m.late, m.stuck = true, true
		return errTime{m.limit}
	}
}
