package abitest

import (
	"crypto/sha256"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/sys"

	"eshost/host/event"
)

// config is what an instance finds: no files, no arguments, a clock that stands at the event's time, and random bytes that
// come from the event's id.
func (m *Module) config() wazero.ModuleConfig {
	var slept time.Duration
	return wazero.NewModuleConfig().WithName("").WithStartFunctions().WithStdout(&m.Output).WithStderr(&m.Output).
		WithWalltime(m.walltime, sys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 { return int64(time.Second + slept) }, sys.ClockResolution(time.Microsecond)).
		WithNanosleep(func(ns int64) { slept += time.Duration(max(ns, 0)) }).
		WithRandSource(readerFunc(func(b []byte) (int, error) { return m.random.Read(b) }))
}

func (m *Module) walltime() (seconds int64, nanoseconds int32) {
	if m.current == nil {
		return 0, 0
	}
	return m.current.Time.Unix(), int32(m.current.Time.Nanosecond())
}

type source struct{ *rand.ChaCha8 }

func newSource(e *event.Event) *source {
	of := "an instance's start"
	if e != nil {
		of = "event " + e.ID
	}
	return &source{rand.NewChaCha8(sha256.Sum256([]byte(of)))}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
