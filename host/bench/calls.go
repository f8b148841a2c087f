package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tetratelabs/wazero"

	"eshost/abi"
	"eshost/host/bank"
	"eshost/host/event"
	"eshost/host/internal/meter"
)

// Call is what handling one event costs in a module, by way of interrupting it.
type Call struct {
	Language string `json:"language"`
	Bytes    int    `json:"module_bytes"`
	// Medians in nanoseconds an event.
	Plain   float64 `json:"unmetered_ns"`
	Metered float64 `json:"metered_ns"`
	// Closing is the unmetered module under wazero's WithCloseOnContextDone.
	Closing float64 `json:"close_on_context_done_ns"`
	// MeteredRatio is the median of Metered over Plain, round by round.
	MeteredRatio float64 `json:"metered_to_unmetered"`
	// ClosingRatio is the median of Closing over Metered, round by round.
	ClosingRatio float64 `json:"close_on_context_done_to_metered"`
}

const (
	callRounds = 7
	callTime   = 150 * time.Millisecond
)

func (o *Options) calls(ctx context.Context) ([]Call, error) {
	var out []Call
	for _, language := range o.languages() {
		c, err := o.callsOf(ctx, language)
		if err != nil {
			return nil, fmt.Errorf("%s module: %w", language, err)
		}
		out = append(out, c)
		fmt.Fprintf(o.Progress, "  %s: metered %.2f of unmetered, WithCloseOnContextDone %.1f of metered\n", language, c.MeteredRatio, c.ClosingRatio)
	}
	return out, nil
}

func (o *Options) callsOf(ctx context.Context, language string) (Call, error) {
	wasm, err := os.ReadFile(o.Modules[language])
	if err != nil {
		return Call{}, err
	}
	metered, _, err := meter.Rewrite(wasm, meter.Options{MaxMemoryPages: 1024})
	if err != nil {
		return Call{}, fmt.Errorf("rewrite: %w", err)
	}
	var guests []*guest
	defer func() {
		for _, g := range guests {
			_ = g.runtime.Close(ctx)
		}
	}()
	for _, variant := range []struct {
		wasm    []byte
		closing bool
	}{{wasm, false}, {metered, false}, {wasm, true}} {
		g, err := newGuest(ctx, variant.wasm, variant.closing)
		if err != nil {
			return Call{}, err
		}
		guests = append(guests, g)
	}
	events := bankEvents(5_000, 500)
	times := make([][]float64, len(guests))
	for round := range callRounds + 1 {
		for i, g := range guests {
			ns, err := measure(g.handle, events)
			if err != nil {
				return Call{}, err
			}
			if round > 0 { // the first one warms up
				times[i] = append(times[i], ns)
			}
		}
	}
	return Call{
		Language: language, Bytes: len(wasm),
		Plain: median(times[0]), Metered: median(times[1]), Closing: median(times[2]),
		MeteredRatio: median(ratios(times[1], times[0])),
		ClosingRatio: median(ratios(times[2], times[1])),
	}, nil
}

func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// bankEvents returns events as the store would give them.
func bankEvents(n, accounts int) [][]byte {
	b := bank.New(accounts, 7)
	out := make([][]byte, n)
	for i := range out {
		s := b.Next()
		e := event.Event{
			Position: event.Position(i + 1), Stream: s.Stream, StreamType: s.StreamType, Version: int64(i/accounts + 1),
			ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", i), Type: s.Events[0].Type, Data: s.Events[0].Data,
			Metadata: []byte("{}"), ContentType: "application/json", Time: time.Unix(1_700_000_000, 0),
		}
		out[i] = abi.AppendEnvelope(nil, &e, 1)
	}
	return out
}

// measure handles the events over and over for a while, 200 at a time, and returns nanoseconds an event.
func measure(handle func(envelope []byte) error, events [][]byte) (float64, error) {
	began, n := time.Now(), 0
	for time.Since(began) < callTime {
		for _, e := range events[:200] {
			if err := handle(e); err != nil {
				return 0, err
			}
		}
		n += 200
		events = append(events[200:], events[:200]...)
	}
	return float64(time.Since(began).Nanoseconds()) / float64(n), nil
}

func runtimeFor(ctx context.Context, closing bool) wazero.Runtime {
	return wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(closing))
}
