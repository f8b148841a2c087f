package traces

import (
	"testing"
	"time"
)

func TestParseTraceparent(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for text, ok := range map[string]bool{
		"00-" + trace + "-" + span + "-01":                    true,
		"cc-" + trace + "-" + span + "-01-what-comes":         true, // a later version
		"00-" + trace + "-" + span + "-01-more":               false,
		"ff-" + trace + "-" + span + "-01":                    false,
		"00-" + trace + "-0000000000000000-01":                false,
		"00-00000000000000000000000000000000-" + span + "-01": false,
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-" + span + "-01": false,
		"00-" + trace + "-" + span:                            false,
		"":                                                    false,
	} {
		l, got := ParseTraceparent(text)
		if got != ok || ok && (l != Link{trace, span}) {
			t.Errorf("%q: %v, %v", text, l, got)
		}
	}
}

// TestAddNeverBlocks fills an exporter that nobody empties.
func TestAddNeverBlocks(t *testing.T) {
	e := New(Options{URL: "http://127.0.0.1:1"})
	for range 2 * waiting {
		e.Add(Span{Name: "s", Start: time.Now(), End: time.Now()})
	}
	if len(e.queue) != waiting {
		t.Errorf("%d spans wait", len(e.queue))
	}
}
