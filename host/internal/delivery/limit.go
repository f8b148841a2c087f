package delivery

import (
	"sync/atomic"
	"time"
)

// batchLimit says how many events the next batch may have: more while the plugin is behind, few when
// it is live, and never so many that a batch takes much longer than slowBatch or keeps more than bytes.
type batchLimit struct {
	now   atomic.Int64
	most  int // at present
	max   int
	bytes int
}

func (l *batchLimit) init(o *Options) {
	l.most, l.max, l.bytes = o.MaxBatch, o.MaxBatch, o.MaxBatchBytes
	l.set(firstBatch)
}

// narrow bounds the batches for the time being; 0 lifts that bound.
func (l *batchLimit) narrow(n int) {
	l.most = l.max
	if n > 0 {
		l.most = min(n, l.max)
	}
	l.set(l.get())
}

func (l *batchLimit) get() int { return int(l.now.Load()) }

func (l *batchLimit) set(n int) { l.now.Store(int64(max(1, min(n, l.most)))) }

// learn looks at a batch of some events that took a time and kept some bytes.
func (l *batchLimit) learn(events int, took time.Duration, kept int) {
	now := l.get()
	full := now
	if events >= now {
		full = 4 * now
	}
	switch {
	case events == 0:
	case 4*took > slowBatch: // as many as would have been quick enough
		now = min(full, int(int64(events)*int64(slowBatch)/int64(took)))
	case events >= now:
		now = full
	case events < now/4:
		now = max(now/2, min(now, firstBatch))
	}
	if kept > 0 && events > 0 {
		now = min(now, max(1, l.bytes/2*events/kept))
	}
	l.set(now)
}

// committed shrinks the next batches when commits have become slow.
func (l *batchLimit) committed(took time.Duration) {
	if now := l.get(); took > slowBatch {
		l.set(max(now/2, min(now, firstBatch)))
	}
}
