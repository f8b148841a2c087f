package bench

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestGuests holds the guests of all languages to doing the same as the baseline.
func TestGuests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := exec.Command("guests/build.sh", "-o", dir).CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, out)
	}
	for _, language := range guests {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			wasm, missing, err := readGuest(dir, language)
			if err != nil || missing != "" {
				t.Fatalf("the guest cannot be read: %s %v", missing, err)
			}
			g, err := newGuest(t.Context(), wasm, false)
			if err != nil {
				t.Fatal(err)
			}
			defer g.runtime.Close(t.Context())
			if err := g.checkTouched(); err == nil {
				t.Error("a guest that did nothing passes")
			}
			for range 2 {
				for _, eventType := range sdkEvents {
					for _, envelope := range sdkEnvelopes(eventType) {
						if err := g.handle(envelope); err != nil {
							t.Fatalf("%s: %v", eventType, err)
						}
					}
				}
			}
			if err := g.checkTouched(); err != nil {
				t.Error(err)
			}
			wrong := bytes.Replace(sdkEnvelopes("Parsed")[0], []byte(`"amount":1250`), []byte(`"amount":"12"`), 1)
			if err := g.handle(wrong); err == nil || !strings.Contains(err.Error(), "status 2") {
				t.Errorf("data that does not fit ends with %v, want a rejection", err)
			}
		})
	}
}

func TestAGuestThatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	o := Options{Guests: t.TempDir()}
	s, err := o.sdkOf(t.Context(), "rust")
	if err != nil || !strings.Contains(s.Missing, "host/bench/guests/build.sh rust makes it") {
		t.Errorf("got %+v, %v", s, err)
	}
	report := Report{SDKs: []SDK{s}}
	var out bytes.Buffer
	if err := report.Print(&out); err != nil || !strings.Contains(out.String(), s.Missing) {
		t.Errorf("printed %s, %v", &out, err)
	}
}
