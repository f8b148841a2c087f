package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"eshost/host/event"
	"eshost/host/store"
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

// batchLimit says how many events the next batch may have: more while the plugin is behind, few when
// it is live, and never so many that a batch takes longer than slowBatch.
type batchLimit struct {
	now  atomic.Int64
	most int
}

func (l *batchLimit) init(o *Options) {
	l.most = o.MaxBatch
	l.now.Store(int64(min(firstBatch, l.most)))
}

func (l *batchLimit) get() int { return int(l.now.Load()) }

func (l *batchLimit) learn(events int, took time.Duration, scanning bool) {
	most, now := l.most, l.get()
	if scanning {
		most = min(most, scanBatch)
	}
	switch {
	case took > slowBatch:
		now /= 2
	case events >= now:
		now *= 4
	case events < now/4:
		now /= 2
	}
	l.now.Store(int64(min(max(now, min(firstBatch, most)), most)))
}

// committed shrinks the next batches when commits have become slow.
func (l *batchLimit) committed(took time.Duration) {
	if took > slowBatch {
		l.now.Store(int64(max(l.get()/2, min(firstBatch, l.most))))
	}
}

// mergeQueues joins two queues, each in position order, into one in position order.
func mergeQueues(a, b []store.QueuedEvent) []store.QueuedEvent {
	if len(a) == 0 {
		return b
	}
	all := append(a, b...)
	slices.SortFunc(all, func(x, y store.QueuedEvent) int { return cmp.Compare(x.Position, y.Position) })
	return all
}
