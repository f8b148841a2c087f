package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"eshost/host"
	"eshost/host/store"
)

// start runs a command beside the test. ended is closed when it has ended; wait returns its exit code and standard error.
func start(ctx context.Context, in io.Reader, out io.Writer, args ...string) (ended <-chan struct{}, wait func() (int, string)) {
	var stderr bytes.Buffer
	var code int
	done := make(chan struct{})
	go func() { defer close(done); code = Main(ctx, args, in, out, &stderr) }()
	return done, func() (int, string) { <-done; return code, stderr.String() }
}

func mustRun(t *testing.T, in string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	_, wait := start(t.Context(), strings.NewReader(in), &out, args...)
	if code, stderr := wait(); code != exitDone {
		t.Fatalf("eshost %v: exit code %d: %s", args, code, stderr)
	}
	return out.String()
}

func testStore(t *testing.T) string { return "--store=sqlite:" + filepath.Join(t.TempDir(), "test.db") }

const oneEvent = `{"stream":"a","type":"T","data":%d}` + "\n"

// TestFollow holds --follow to: events that come later are printed, and an interrupt is a good end.
func TestFollow(t *testing.T) {
	t.Parallel()
	db := testStore(t)
	mustRun(t, fmt.Sprintf(oneEvent, 1), "append", "-", db)
	ctx, cancel := context.WithCancel(t.Context())
	out, w := io.Pipe()
	_, wait := start(ctx, strings.NewReader(""), w, "events", "--follow", "--json", db)
	lines := bufio.NewScanner(out)
	for n := 1; n <= 3; n++ {
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf(`"data":%d,`, n)) {
			t.Fatalf("event %d: got %q", n, lines.Text())
		}
		mustRun(t, fmt.Sprintf(oneEvent, n+1), "append", "-", db)
	}
	cancel()
	go io.Copy(io.Discard, out) // the fourth event, if it came in time
	if code, stderr := wait(); code != exitDone || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestFollowHasNoLimit holds --follow to going on after as many events as a listing has at most.
func TestFollowHasNoLimit(t *testing.T) {
	t.Parallel()
	db := testStore(t)
	const events = 150
	mustRun(t, strings.Repeat(fmt.Sprintf(oneEvent, 1), events), "append", "-", db)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, w := io.Pipe()
	ended, wait := start(ctx, strings.NewReader(""), w, "events", "--follow", "--json", db)
	go func() { <-ended; w.Close() }()
	lines := bufio.NewScanner(out)
	for n := 1; n <= events+1; n++ {
		if n == events+1 {
			mustRun(t, fmt.Sprintf(oneEvent, 2), "append", "-", db)
		}
		if !lines.Scan() {
			t.Fatalf("ended before event %d", n)
		}
	}
	cancel()
	if code, stderr := wait(); code != exitDone || stderr != "" {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestAppendFromPipe holds append to: what a slow producer has written is stored while it pauses, and an
// interrupt ends it without waiting for more.
func TestAppendFromPipe(t *testing.T) {
	t.Parallel()
	db := testStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, producer := io.Pipe()
	var out bytes.Buffer
	ended, wait := start(ctx, in, &out, "append", "-", db)
	fmt.Fprintf(producer, oneEvent, 1)
	for countEvents(t, db) == 0 { // a look takes some milliseconds
		select {
		case <-ended:
			t.Fatal(wait())
		default:
		}
	}
	fmt.Fprintf(producer, oneEvent+`{"stream":`, 2)
	cancel()
	code, stderr := wait()
	if code != exitInterrupted || !strings.HasPrefix(stderr, "eshost: standard input") || !strings.Contains(out.String(), "appended ") ||
		!strings.Contains(stderr, "hint: append only the lines after line") || strings.Contains(stderr, "mend") {
		t.Errorf("exit code %d: %s%s", code, out.String(), stderr)
	}
}

// countEvents counts the events in a database that may not be there yet.
func countEvents(t *testing.T, db string) int {
	var out bytes.Buffer
	_, wait := start(t.Context(), strings.NewReader(""), &out, "events", "--json", "--limit=0", db)
	code, stderr := wait()
	if code != exitDone && code != exitMissing {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	return strings.Count(out.String(), "\n")
}

// TestAppendLarge holds append to its batches: many lines and large ones, in the order of the input.
func TestAppendLarge(t *testing.T) {
	t.Parallel()
	db := testStore(t)
	var in strings.Builder
	for i := range 2500 {
		fmt.Fprintf(&in, `{"stream":"s%d","type":"T","data":%d}`+"\n", i%7, i)
	}
	large := strings.Repeat("x", 5<<20)
	for range 4 {
		fmt.Fprintf(&in, `{"stream":"large","type":"T","data":"%s"}`+"\n", large)
	}
	if got, want := mustRun(t, in.String(), "append", "-", db), "appended 2504 events, positions 1 to 2504\n"; got != want {
		t.Errorf("got %s", got)
	}
	lines := bufio.NewScanner(strings.NewReader(mustRun(t, "", "events", "--json", "--limit=0", db)))
	lines.Buffer(nil, 16<<20)
	n := 0
	for ; lines.Scan(); n++ {
		if n < 2500 && !strings.HasPrefix(lines.Text(), fmt.Sprintf(`{"position":%d,"stream":"s%d","version":%d,`, n+1, n%7, n/7+1)) {
			t.Fatalf("event %d: got %.100s", n, lines.Text())
		}
	}
	if n != 2504 {
		t.Errorf("read %d events", n)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for want, errs := range map[int][]error{
		exitDone:        {nil},
		exitFailed:      {errors.New("x"), store.ErrVersionConflict, store.ErrIDConflict, store.ErrLogWentBack, store.ErrLeaseLost},
		exitInput:       {store.ErrSchema, store.ErrInvalid, host.ErrModule, badInput("", "x")},
		exitMissing:     {store.ErrUnavailable, fs.ErrNotExist, fs.ErrPermission, missing("", "x")},
		exitInterrupted: {context.Canceled},
	} {
		for _, err := range errs {
			if err != nil {
				err = fmt.Errorf("do: %w", err)
			}
			if got := codeOf(err); got != want {
				t.Errorf("%v: got %d, want %d", err, got, want)
			}
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"eshost: a: b\nhint: c\n":                        fmt.Errorf("a: %w", failed("c", "b")),
		"eshost: a\nhint: c\neshost: b\nhint: d\n":       errors.Join(failed("c", "a"), failed("d", "b")),
		"eshost: a\\x1b[31m\nhint: c\nhint: d\n":         failed("c\nd", "a\x1b[31m"),
		"eshost: read: interrupted\n":                    fmt.Errorf("read: %w", context.Canceled),
		"eshost: a: b\n":                                 fmt.Errorf("a: %w", errors.New("b")),
		"eshost: outer: inner\nhint: the outer's hint\n": failed("the outer's hint", "outer: %w", failed("the inner's hint", "inner")),
	} {
		var out bytes.Buffer
		if report(&out, err); out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	t.Parallel()
	p := newProgress(io.Discard, 1000)
	io.Copy(io.Discard, p.count(strings.NewReader(strings.Repeat("x", 500))))
	if got, want := p.line(1, time.Second), "[###############...............]  50%  1 event, 1/s"; got != want {
		t.Errorf("got %q", got)
	}
	if got, want := newProgress(io.Discard, 0).line(1500, time.Second/2), "1500 events, 3000/s"; got != want {
		t.Errorf("got %q", got)
	}
}
