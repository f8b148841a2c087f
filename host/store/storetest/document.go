package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
)

var documentCases = []testCase{
	{"by key", documentsByKey},
	{"many keys", documentsMany},
	{"data comes back as it went in", documentsExact},
	{"scan is in byte order", scanOrder},
	{"scan a prefix", scanPrefix},
	{"scan page by page", scanPages},
	{"collections", documentCollections},
	{"generations do not mix", documentGenerations},
}

func documentsByKey(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	o.commit(t, 1, func(c *store.Commit) {
		c.Documents = []event.DocumentWrite{set("c", "1", `1`, 1), set("c", "2", `2`, 1), set("d", "1", `3`, 1), set("c", "", `4`, 1)}
	})
	docs, err := s.Documents(t.Context(), o.ID, []store.DocumentKey{{Collection: "d", Key: "1"}, {Collection: "c", Key: "none"}, {Collection: "c", Key: "1"},
		{Collection: "none", Key: "1"}, {Collection: "c", Key: ""}})
	check(t, err)
	got := map[string]string{}
	for _, d := range docs {
		got[d.Collection+"/"+d.Key] = string(d.Data)
	}
	if want := map[string]string{"c/1": "1", "d/1": "3", "c/": "4"}; !reflect.DeepEqual(got, want) || len(docs) != len(want) {
		t.Errorf("got %v", docs)
	}
	if docs, err := s.Documents(t.Context(), o.ID, nil); err != nil || len(docs) != 0 {
		t.Errorf("no keys gave %v (%v)", docs, err)
	}
	if _, err := s.Documents(canceled(t), o.ID, []store.DocumentKey{{Collection: "c", Key: "1"}}); err == nil {
		t.Error("read under a canceled context")
	}
}

func documentsMany(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	const n = 5000
	var keys []store.DocumentKey
	o.commit(t, 1, func(c *store.Commit) {
		for i := range n {
			keys = append(keys, store.DocumentKey{Collection: "c", Key: strconv.Itoa(i)})
			if i%2 == 0 {
				c.Documents = append(c.Documents, set("c", strconv.Itoa(i), strconv.Itoa(-i), 1))
			}
		}
	})
	docs, err := s.Documents(t.Context(), o.ID, keys)
	check(t, err)
	if len(docs) != n/2 {
		t.Fatalf("got %d documents, want %d", len(docs), n/2)
	}
	for _, d := range docs {
		if string(d.Data) != "-"+d.Key && d.Key != "0" {
			t.Fatalf("document %s is %s", d.Key, d.Data)
		}
	}
}

func documentsExact(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	odd := []string{
		`null`, ` 1 `, "\"\\u0000 \\ud800 \u2028 é\"", "{\"b\" :1,\r\n\t\"a\": 1.0e0 ,\"a\":2}\n", `123456789012345678901234567890.10`,
		strings.Repeat("[", 200) + strings.Repeat("]", 200), `"` + strings.Repeat("x", 1<<20) + `"`,
	}
	o.commit(t, 1, func(c *store.Commit) {
		for i, data := range odd {
			c.Documents = append(c.Documents, set("c", strconv.Itoa(i), data, 1))
		}
	})
	docs, err := s.Scan(t.Context(), o.ID, store.ScanOptions{Collection: "c", Limit: 100})
	check(t, err)
	for i, d := range docs {
		if string(d.Data) != odd[i] {
			t.Errorf("document %.80q came back as %.80q", odd[i], d.Data)
		}
	}
}

// scanKeys are in no order; byte order puts upper case before lower, and é after z.
var scanKeys = []string{"b", "a", "B", "é", "z", "e\u0301", "a%", "a_", `a\`, "ab", "a%b", "aa", "日本", "😀", "\uffff", "\U0010ffff", "10", "9", " ", "\x01", "a\x7f"}

func scanOrder(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	o.commit(t, 1, func(c *store.Commit) {
		for _, k := range scanKeys {
			c.Documents = append(c.Documents, set("c", k, `0`, 1), set("d", k, `0`, 1))
		}
	})
	want := slices.Clone(scanKeys)
	slices.Sort(want)
	wantScan(t, o, store.ScanOptions{Collection: "c", Limit: 100}, want)
	wantScan(t, o, store.ScanOptions{Collection: "C", Limit: 100}, nil)
	for i, after := range want {
		wantScan(t, o, store.ScanOptions{Collection: "c", After: after, Limit: 100}, want[i+1:])
		wantScan(t, o, store.ScanOptions{Collection: "c", After: after + "\x01", Limit: 2}, want[i+1:min(i+3, len(want))])
	}
}

func scanPrefix(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	o.commit(t, 1, func(c *store.Commit) {
		for _, k := range scanKeys {
			c.Documents = append(c.Documents, set("c", k, `0`, 1))
		}
	})
	sorted := slices.Clone(scanKeys)
	slices.Sort(sorted)
	for _, prefix := range []string{"a", "a%", "a_", `a\`, "%", "_", "A", "é", "e", "日", "😀", "\uffff", "\U0010ffff", "\x7f", "a\x7f", "none"} {
		var want []string
		for _, k := range sorted {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		wantScan(t, o, store.ScanOptions{Collection: "c", Prefix: prefix, Limit: 100}, want)
		wantScan(t, o, store.ScanOptions{Collection: "c", Prefix: prefix, Limit: 1}, want[:min(1, len(want))])
		if len(want) > 0 {
			wantScan(t, o, store.ScanOptions{Collection: "c", Prefix: prefix, After: want[0], Limit: 100}, want[1:])
		}
	}
}

func wantScan(t *testing.T, o *owned, opts store.ScanOptions, want []string) {
	t.Helper()
	docs, err := o.s.Scan(t.Context(), o.ID, opts)
	check(t, err)
	var got []string
	for _, d := range docs {
		if d.Collection != opts.Collection {
			t.Errorf("%+v gave a document of collection %q", opts, d.Collection)
		}
		got = append(got, d.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v\ngot  %q\nwant %q", opts, got, want)
	}
}

func scanPages(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	var want []string
	o.commit(t, 1, func(c *store.Commit) {
		c.Documents = append(c.Documents, set("c", "", `0`, 1)) // an empty key is the first
		want = append(want, "")
		for i := range 25 {
			want = append(want, fmt.Sprintf("%02d", i))
			c.Documents = append(c.Documents, set("c", want[i+1], `0`, 1))
		}
	})
	var got []string
	for after := ""; ; {
		docs, err := s.Scan(t.Context(), o.ID, store.ScanOptions{Collection: "c", After: after, Limit: 10})
		check(t, err)
		for _, d := range docs {
			got = append(got, d.Key)
		}
		if len(docs) < 10 {
			break
		}
		after = docs[len(docs)-1].Key
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages hold %q", got)
	}
}

func documentCollections(t *testing.T, db *database) {
	s := db.open(t)
	o := own(t, s, "p")
	wantCollections := func(want ...string) {
		t.Helper()
		got, err := s.Collections(t.Context(), o.ID)
		check(t, err)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("collections are %q, want %q", got, want)
		}
	}
	wantCollections()
	o.commit(t, 1, func(c *store.Commit) {
		for i := range 100 {
			c.Documents = append(c.Documents, set("b", strconv.Itoa(i), `0`, 1), set("a b", strconv.Itoa(i), `0`, 1))
		}
		c.Documents = append(c.Documents, set("é", "", `0`, 1), set("gone", "", `0`, 1))
	})
	o.commit(t, 2, func(c *store.Commit) { c.Documents = []event.DocumentWrite{del("gone", "", 2)} })
	wantCollections("a b", "b", "é")
}

func documentGenerations(t *testing.T, db *database) {
	s := db.open(t)
	p, q := own(t, s, "p"), own(t, s, "q")
	p.commit(t, 1, func(c *store.Commit) {
		c.Documents = []event.DocumentWrite{set("c", "1", `"p"`, 1), set("c", "2", `"p"`, 1)}
	})
	q.commit(t, 1, func(c *store.Commit) { c.Documents = []event.DocumentWrite{set("c", "1", `"q"`, 1), del("c", "2", 1)} })
	wantScan(t, p, store.ScanOptions{Collection: "c", Limit: 10}, []string{"1", "2"})
	wantScan(t, q, store.ScanOptions{Collection: "c", Limit: 10}, []string{"1"})
	docs, err := s.Documents(t.Context(), q.ID, []store.DocumentKey{{Collection: "c", Key: "1"}})
	if check(t, err); len(docs) != 1 || string(docs[0].Data) != `"q"` {
		t.Errorf("got %v", docs)
	}
}
