package plugin

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"eshost/abi"
	"eshost/host/event"
)

// guestLog passes on what one plugin's instances log: a line of bounded length at a bounded rate.
type guestLog struct {
	logger *slog.Logger
	rate   int

	mu      sync.Mutex
	tokens  float64
	at      time.Time // when tokens was right
	dropped int
}

func newGuestLog(logger *slog.Logger, plugin string, rate int) *guestLog {
	return &guestLog{logger: logger.With("plugin", plugin), rate: rate, tokens: float64(2 * rate), at: time.Now()}
}

// line logs one line. position is 0 while an instance starts.
func (l *guestLog) line(ctx context.Context, level slog.Level, position event.Position, text []byte) {
	if !l.logger.Enabled(ctx, level) || !l.admit(ctx) {
		return
	}
	attrs := []slog.Attr{slog.Int64("position", int64(position))}
	if position == 0 {
		attrs[0] = slog.Bool("starting", true)
	}
	l.logger.LogAttrs(ctx, level, printable(text, abi.MaxLogLine), attrs...)
}

// admit takes a token. The first line that is dropped is announced, and how many there were when lines pass again.
func (l *guestLog) admit(ctx context.Context) bool {
	l.mu.Lock()
	now := time.Now()
	l.tokens = min(float64(2*l.rate), l.tokens+now.Sub(l.at).Seconds()*float64(l.rate))
	l.at = now
	ok := l.tokens >= 1
	dropped := 0
	if ok {
		l.tokens--
		dropped, l.dropped = l.dropped, 0
	} else {
		l.dropped++
	}
	first := l.dropped == 1
	l.mu.Unlock()
	switch {
	case dropped > 0:
		l.report(ctx, dropped)
	case !ok && first:
		l.logger.LogAttrs(ctx, slog.LevelWarn, "the plugin logs too much, lines are dropped", slog.Int("lines_per_second", l.rate))
	}
	return ok
}

func (l *guestLog) report(ctx context.Context, dropped int) {
	l.logger.LogAttrs(ctx, slog.LevelWarn, "log lines of the plugin were dropped", slog.Int("dropped", dropped))
}

// close reports what has not been reported.
func (l *guestLog) close() {
	l.mu.Lock()
	dropped := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if dropped > 0 {
		l.report(context.Background(), dropped)
	}
}

// slogLevel maps the ABI's levels. An unknown one is taken for the nearest.
func slogLevel(level int32) slog.Level {
	return slog.Level(max(0, min(level, 3))-1) * 4 // debug -4, info 0, warn 4, error 8
}
