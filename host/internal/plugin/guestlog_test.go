package plugin_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"eshost/abi"
	"eshost/host/internal/plugin"
)

func TestLogLines(t *testing.T) {
	t.Parallel()
	var l logs
	in := start(t, "forward", plugin.EngineOptions{Logger: l.logger()}, plugin.Spec{Name: "billing"})
	s := new(script).
		call(callLog, 0, "fine\n").call(callLog, 1, "forged\nlevel=ERROR").call(callLog, 2, "\x1b[31mred\xff").call(callLog, 3, "größer").
		call(callLog, -5, "low").call(callLog, 99, "high").call(callLog, 1, strings.Repeat("x", 5000))
	if err := in.Handle(t.Context(), s.event(0), 1, newMemory()); err != nil {
		t.Fatal(err)
	}
	want := `level=DEBUG msg=fine\n plugin=billing position=7
level=INFO msg="forged\\nlevel=ERROR" plugin=billing position=7
level=WARN msg=\x1b[31mred\xff plugin=billing position=7
level=ERROR msg=größer plugin=billing position=7
level=DEBUG msg=low plugin=billing position=7
level=ERROR msg=high plugin=billing position=7
level=INFO msg=` + strings.Repeat("x", abi.MaxLogLine) + `… plugin=billing position=7
`
	if l.String() != want {
		t.Errorf("logged\n%s\nwant\n%s", l.String(), want)
	}
}

func TestLogFlood(t *testing.T) {
	t.Parallel()
	var l logs
	e := newEngine(t, plugin.EngineOptions{Logger: l.logger(), LogRate: 10})
	m := load(t, e, "behave", plugin.Spec{})
	in := instance(t, m)
	for range 3 {
		if err := in.Handle(t.Context(), newEvent("n"), 1, newMemory()); err != nil {
			t.Fatal(err)
		}
	}
	_ = m.Close(t.Context())
	lines := strings.Count(l.String(), "\n")
	if lines < 20 || lines > 500 || !strings.Contains(l.String(), "lines are dropped") || !strings.Contains(l.String(), "dropped=") {
		t.Errorf("3,000 lines became %d: %s", lines, l.String())
	}
}

func TestLogRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logs
		log := plugin.NewGuestLog(l.logger(), "p", 5)
		say := func(n int) string {
			before := len(l.String())
			for i := range n {
				log.Line(t.Context(), slog.LevelInfo, 1, fmt.Append(nil, i))
			}
			return l.String()[before:]
		}
		first := say(15)
		if strings.Count(first, "position=1") != 10 || strings.Count(first, "lines are dropped") != 1 {
			t.Errorf("a burst of 15 became %s", first)
		}
		time.Sleep(time.Second)
		second := say(10)
		if strings.Count(second, "position=1") != 5 || strings.Count(second, "dropped=5") != 1 || strings.Count(second, "lines are dropped") != 1 {
			t.Errorf("10 a second later became %s", second)
		}
		log.Close()
		if !strings.HasSuffix(l.String(), "dropped=5\n") {
			t.Errorf("the end is %s", l.String())
		}
	})
}
