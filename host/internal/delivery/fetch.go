package delivery

import (
	"context"
	"fmt"

	"eshost/host/event"
)

// fetch reads one batch ahead of the one that is handled.
type fetch struct {
	batches chan event.Batch
	failed  chan error
	cancel  context.CancelFunc
	done    chan struct{}
}

// startFetch reads from where the session's handled batches end.
func (s *session) startFetch(ctx context.Context) *fetch {
	ctx, cancel := context.WithCancel(ctx)
	f := &fetch{
		batches: make(chan event.Batch),
		failed:  make(chan error, 1),
		cancel:  cancel,
		done:    make(chan struct{}),
	}
	go f.run(ctx, s.r.feed, s.position, &s.limit, s.o.MaxBatchBytes)
	return f
}

func (f *fetch) run(ctx context.Context, feed Feed, after event.Position, limit *batchLimit, maxBytes int) {
	defer close(f.done)
	for {
		b, err := feed.Next(ctx, after, limit.get(), maxBytes)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			f.failed <- fmt.Errorf("fetch a batch: %w", err)
			return
		}
		select {
		case f.batches <- b:
			after = b.UpTo
		case <-ctx.Done():
			return
		}
	}
}

func (f *fetch) stop() {
	f.cancel()
	<-f.done
}
