package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"eshost/abi"
	"eshost/host/event"
	"eshost/host/internal/meter"
)

// SDK is what a plugin costs that is written with a language's SDK and typed JSON, metered as in production. The host
// around it is the least there can be.
type SDK struct {
	// Language is the SDK's, or "native Go" for the same handler as a Go function: the baseline.
	Language string `json:"language"`
	// Missing says why the language was not measured; then there is nothing else.
	Missing string `json:"missing,omitempty"`
	Bytes   int    `json:"module_bytes,omitempty"`
	// Medians in nanoseconds an event: one that the handler ignores, one whose data it parses, one for which it
	// reads, changes and writes a document.
	Ignored float64 `json:"ignored_ns,omitempty"`
	Parsed  float64 `json:"parsed_ns,omitempty"`
	Touched float64 `json:"touched_ns,omitempty"`
}

// guests are the languages that guests are written in, in the order of the report.
var guests = []string{"assemblyscript", "rust", "go"}

// sdkEvents names what guests/README.md says that a guest handles.
var sdkEvents = []string{"Ignored", "Parsed", "Touched"}

func (o *Options) sdk(ctx context.Context) ([]SDK, error) {
	out := []SDK{{Language: "native Go"}}
	if err := out[0].measure(nativeHandler()); err != nil {
		return nil, err
	}
	for _, language := range guests {
		s, err := o.sdkOf(ctx, language)
		if err != nil {
			return nil, fmt.Errorf("%s guest: %w", language, err)
		}
		out = append(out, s)
		if s.Missing != "" {
			fmt.Fprintf(o.Progress, "  %s: %s\n", language, s.Missing)
		} else {
			fmt.Fprintf(o.Progress, "  %s: %d bytes\n", language, s.Bytes)
		}
	}
	return out, nil
}

func (o *Options) sdkOf(ctx context.Context, language string) (SDK, error) {
	s := SDK{Language: language}
	wasm, missing, err := readGuest(o.Guests, language)
	if err != nil || missing != "" {
		s.Missing = missing
		return s, err
	}
	s.Bytes = len(wasm)
	metered, _, err := meter.Rewrite(wasm, meter.Options{MaxMemoryPages: 1024})
	if err != nil {
		return s, fmt.Errorf("rewrite: %w", err)
	}
	g, err := newGuest(ctx, metered, false)
	if err != nil {
		return s, err
	}
	defer func() { _ = g.runtime.Close(ctx) }()
	if err := s.measure(g.handle); err != nil {
		return s, err
	}
	return s, g.checkTouched()
}

// readGuest reads a guest, or says that it is missing and how to get it.
func readGuest(folder, language string) (wasm []byte, missing string, err error) {
	path := filepath.Join(folder, language, "guest.wasm")
	wasm, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Sprintf("left out, as there is no %s: host/bench/guests/build.sh %s makes it", path, language), nil
	}
	return wasm, "", err
}

// measure times a handler of envelopes on each type of event. The rounds of the types alternate.
func (s *SDK) measure(handle func(envelope []byte) error) error {
	times := make([][]float64, len(sdkEvents))
	for round := range callRounds + 1 {
		for i, eventType := range sdkEvents {
			ns, err := measure(handle, sdkEnvelopes(eventType))
			if err != nil {
				return fmt.Errorf("%s: %w", eventType, err)
			}
			if round > 0 { // the first one warms up
				times[i] = append(times[i], ns)
			}
		}
	}
	s.Ignored, s.Parsed, s.Touched = median(times[0]), median(times[1]), median(times[2])
	return nil
}

const sdkAccounts = 200

func sdkEnvelopes(eventType string) [][]byte {
	out := make([][]byte, sdkAccounts)
	for i := range out {
		e := event.Event{
			Position: event.Position(i + 1), Version: 1, ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", i), Type: eventType,
			Stream: fmt.Sprintf("acc-%06d", i), StreamType: "account", Time: time.Unix(1_700_000_000, 0),
			Data:     []byte(`{"amount":1250,"note":"salary","by":{"id":"u-17","name":"Ada Lovelace"},"tags":["a","b"]}`),
			Metadata: []byte("{}"), ContentType: "application/json",
		}
		out[i] = abi.AppendEnvelope(nil, &e, 1)
	}
	return out
}

// checkTouched proves that the guest did its work: every document counts as much, and so much for each.
func (g *guest) checkTouched() error {
	if len(g.docs) != sdkAccounts {
		return fmt.Errorf("it made %d documents of %d", len(g.docs), sdkAccounts)
	}
	for key, text := range g.docs {
		var a nativeAccount
		if err := json.Unmarshal(text, &a); err != nil || a.Count == 0 || a.Balance != 5*a.Count {
			return fmt.Errorf("its document %s is %s", key, text)
		}
	}
	return nil
}

type nativeMoved struct {
	Amount int64  `json:"amount"`
	Note   string `json:"note"`
	By     struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"by"`
	Tags []string `json:"tags"`
}

type nativeAccount struct {
	Owner    string `json:"owner"`
	Currency string `json:"currency"`
	Balance  int64  `json:"balance"`
	Count    int64  `json:"count"`
}

// nativeHandler is what the guests do, in this process.
func nativeHandler() func(envelope []byte) error {
	docs := make(map[string][]byte)
	return func(envelope []byte) error {
		e, _, err := abi.DecodeEnvelope(envelope)
		if err != nil {
			return err
		}
		switch e.Type {
		case "Parsed":
			var data nativeMoved
			if err := json.Unmarshal(e.Data, &data); err != nil {
				return err
			}
			if data.Amount <= 0 || data.By.Name == "" || len(data.Tags) != 2 {
				return errors.New("the data was not read")
			}
		case "Touched":
			var a nativeAccount
			if text, ok := docs[e.Stream]; ok {
				if err := json.Unmarshal(text, &a); err != nil {
					return err
				}
			}
			a.Balance += 5
			a.Count++
			docs[e.Stream], err = json.Marshal(a)
		}
		return err
	}
}
