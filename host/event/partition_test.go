package event

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestPartitionOf holds the hash to what databases have stored by it: a value that changes loses events.
func TestPartitionOf(t *testing.T) {
	for _, c := range []struct {
		key  string
		n    int
		want int
	}{
		{"account-7", 1, 0}, {"account-7", 2, 0}, {"account-7", 3, 0}, {"account-7", 4, 0}, {"account-7", 16, 12}, {"account-7", 256, 188},
		{"account-8", 4, 1}, {"account-8", 256, 161}, {"account-9", 4, 2},
		{"", 4, 1}, {"", 256, 37}, {"t1", 7, 6}, {"München", 100, 39}, {"\x00\xff", 100, 88},
	} {
		if got := PartitionOf(c.key, c.n); got != c.want {
			t.Errorf("PartitionOf(%q, %d) is %d, must be %d for ever", c.key, c.n, got, c.want)
		}
	}
}

// TestPartitionOfSegment keeps all keys of one segment in one partition.
func TestPartitionOfSegment(t *testing.T) {
	for key, segment := range map[string]string{"t1": "t1", "t1/a": "t1", "t1/a/b": "t1", "t1/": "t1", "/a": "", "": "", "t10": "t10"} {
		if got := Segment(key); got != segment {
			t.Errorf("the segment of %q is %q, want %q", key, got, segment)
		}
		for n := 1; n < 50; n++ {
			if PartitionOf(key, n) != PartitionOf(segment, n) {
				t.Errorf("of %d partitions %q is not in that of %q", n, key, segment)
			}
		}
	}
}

// TestPartitionsAreEven spreads keys that differ little.
func TestPartitionsAreEven(t *testing.T) {
	for _, n := range []int{2, 3, 8, 100} {
		count := make([]int, n)
		for i := range 1000 * n {
			count[PartitionOf(fmt.Sprint("account-", i), n)]++
		}
		for i, c := range count {
			if c < 800 || c > 1200 {
				t.Errorf("partition %d of %d has %d keys of %d", i, n, c, 1000*n)
			}
		}
	}
}

// TestFilter has each event wanted by one of the partitions, and by a filter without any.
func TestFilter(t *testing.T) {
	byStream := func(e *Event) string { return e.Stream }
	for i := range 100 {
		e := &Event{Type: "A", Stream: fmt.Sprint("s", i)}
		wanted := 0
		for p := range 3 {
			if (Filter{Types: []string{"A"}, Partition: Partition{Index: p, Of: 3, Key: byStream}}).Match(e) {
				wanted++
			}
			if (Filter{Types: []string{"B"}, Partition: Partition{Index: p, Of: 3, Key: byStream}}).Match(e) {
				t.Errorf("partition %d has an event of another type", p)
			}
		}
		if wanted != 1 || !(Filter{}).Match(e) || !(Filter{Partition: Partition{Of: 1}}).Match(e) {
			t.Errorf("%d partitions want the event of %s", wanted, e.Stream)
		}
	}
}

func TestReach(t *testing.T) {
	for _, c := range []struct {
		ordering, key string
		document      bool
		scan          bool
	}{
		{"account-7", "account-7", true, false},
		{"account-7", "account-7/", true, true},
		{"account-7", "account-7/2026", true, true},
		{"account-7", "account-70", false, false},
		{"account-7", "account-70/1", false, false},
		{"account-7", "account-", false, false},
		{"account-7", "total", false, false},
		{"account-7", "", false, false},
		{"t1/order-3", "t1", true, false},
		{"t1/order-3", "t1/order-3", true, true},
		{"t1/order-3", "t1/order-4", true, true},
		{"t1/order-3", "t2/order-3", false, false},
		{"", "", true, false},
		{"", "/a", true, true},
		{"", "a", false, false},
	} {
		r := ReachOf(c.ordering)
		check(t, fmt.Sprintf("document %q by an event of %q", c.key, c.ordering), r.Document([]byte("sums"), []byte(c.key)), c.document)
		check(t, fmt.Sprintf("scan of %q by an event of %q", c.key, c.ordering), r.Scan([]byte("sums"), []byte(c.key)), c.scan)
		if err := errors.Join(Reach{}.Document(nil, []byte(c.key)), Reach{}.Scan(nil, []byte(c.key))); err != nil {
			t.Errorf("without partitions: %v", err)
		}
	}
}

func check(t *testing.T, what string, err error, may bool) {
	t.Helper()
	var f *Failure
	switch {
	case may && err != nil:
		t.Errorf("%s: %v", what, err)
	case !may && (!errors.As(err, &f) || f.Kind != FailPartition || !f.Final() || f.Crashed()):
		t.Errorf("%s: %v, must be a final failure", what, err)
	}
}

func TestReachSaysWhatIsWrong(t *testing.T) {
	const want = `document "total" of collection "sums" is not of ordering key "account-7": with partitions, ` +
		`a handler reaches only documents whose key is "account-7" or begins with "account-7/"`
	if got := ReachOf("account-7").Document([]byte("sums"), []byte("total")).(*Failure).Message; got != want {
		t.Errorf("it says\n  %s\nwant\n  %s", got, want)
	}
	const scan = `a scan for keys that begin with "" in collection "sums" is not of ordering key "t1/a": with partitions, ` +
		`a handler scans only for keys that begin with "t1/"`
	if got := ReachOf("t1/a").Scan([]byte("sums"), nil).(*Failure).Message; got != scan {
		t.Errorf("it says\n  %s\nwant\n  %s", got, scan)
	}
	long := strings.Repeat("ü\x1b", 10_000)
	got := ReachOf(long).Document([]byte(long), []byte(long+"x/")).(*Failure).Message
	if len(got) > 5000 || !utf8.ValidString(got) || strings.ContainsRune(got, '\x1b') {
		t.Errorf("of long names it says %d bytes: %.100q", len(got), got)
	}
}
