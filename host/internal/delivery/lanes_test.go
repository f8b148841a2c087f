package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// TestConflict runs two events in two lanes and tells whether they have met.
func TestConflict(t *testing.T) {
	get := func(id string) string { return "get " + id }
	set := func(id string) string { return "set " + id }
	del := func(id string) string { return "delete " + id }
	scan := func(prefix string) string { return "scan " + prefix }
	fail := "fail"
	for _, c := range []struct {
		name string
		a, b []string
		want bool
	}{
		{"nothing in common", []string{get("1"), set("1")}, []string{get("2"), set("2")}, false},
		{"both read", []string{get("x"), set("1")}, []string{get("x"), set("2")}, false},
		{"both scan", []string{scan("")}, []string{scan("")}, false},
		{"reads what the other writes", []string{get("x")}, []string{set("x")}, true},
		{"reads what the other deletes", []string{get("x")}, []string{del("x")}, true},
		{"both write", []string{set("x")}, []string{set("x")}, true},
		{"both delete", []string{del("x")}, []string{del("x")}, true},
		{"a failed event has read it", []string{get("x"), fail}, []string{set("x")}, true},
		{"a failed event has scanned it", []string{scan("x"), fail}, []string{set("x1")}, true},
		{"a failed event would have written it", []string{set("x"), fail}, []string{get("x")}, false},
		{"a failed event has read what it would have written", []string{set("x"), get("x"), fail}, []string{set("x")}, false},
		{"scans what the other writes", []string{scan("x")}, []string{set("x1")}, true},
		{"scans what the other deletes", []string{scan("x")}, []string{del("x1")}, true},
		{"scans all", []string{scan("")}, []string{set("z")}, true},
		{"scans beside it", []string{scan("x")}, []string{set("y"), set("w")}, false},
		{"scans what it writes itself", []string{scan("x"), set("x1")}, []string{set("y")}, false},
		{"both write below what one scans", []string{set("x1"), set("x3"), scan("x")}, []string{set("x2")}, true},
	} {
		for _, swapped := range []bool{false, true} {
			inWorld(t, func(t *testing.T, w *world) {
				do := map[string][]string{"a": c.a, "b": c.b}
				if swapped {
					do = map[string][]string{"a": c.b, "b": c.a}
				}
				h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
					for _, step := range do[e.Stream] {
						what, key, _ := strings.Cut(step, " ")
						var err error
						switch what {
						case "get":
							_, _, err = fx.Get(ctx, []byte("c"), []byte(key))
						case "set":
							err = fx.Set([]byte("c"), []byte(key), []byte("1"))
						case "delete":
							err = fx.Delete([]byte("c"), []byte(key))
						case "scan":
							_, err = fx.Scan(ctx, []byte("c"), []byte(key), nil, 1)
						case fail:
							err = failing(event.FailRetry)
						}
						if err != nil {
							return err
						}
					}
					return nil
				})
				o := Options{Lanes: 2}.withDefaults()
				ls := newLanes(&o, h, newCache(w.store, 1, 1<<20))
				for i, stream := range []string{"a", "b"} {
					ls.all[i].bounds = unbounded(1 << 20)
					if err := ls.all[i].run(t.Context(), []task{{&event.Event{Stream: stream, Position: 1}, stream}}, 1); err != nil {
						t.Fatal(err)
					}
				}
				if got := conflict(ls.all); got != c.want {
					t.Errorf("%s (swapped %v): %v, want %v", c.name, swapped, got, c.want)
				}
			})
		}
	}
}

// TestLanesRunSideBySide uses the lanes there are, and one for a while after they have met.
func TestLanesRunSideBySide(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var shared atomic.Bool
		h := handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			time.Sleep(time.Millisecond)
			if shared.Load() {
				if err := fx.Set([]byte("c"), []byte("all"), []byte(fmt.Sprint(e.Position))); err != nil {
					return err
				}
			}
			return notes(ctx, e, fx)
		})
		took := func(n int) time.Duration {
			for i := range n {
				w.append(fmt.Sprint("s", i%64))
			}
			began := time.Now()
			w.reaches(w.log.head())
			return time.Since(began)
		}
		r, _ := w.start(h, Options{Lanes: 4})
		took(500)
		if d := took(2000); d > time.Second {
			t.Errorf("2000 events of 1 ms took %v in 4 lanes", d)
		}
		shared.Store(true)
		if d := took(2000); d < 2*time.Second || d > 3*time.Second {
			t.Errorf("2000 events of 1 ms that all meet took %v", d)
		}
		if got := w.document("c", "all"); got != fmt.Sprint(w.log.head()) || r.Status().Failed > 0 {
			t.Errorf("the shared document is %s", got)
		}
		shared.Store(false)
		took(20_000)
		if d := took(2000); d > time.Second {
			t.Errorf("2000 events of 1 ms that no longer meet took %v", d)
		}
	})
}

// TestScan lists more than a page of the database, with much of it changed: in flight, by the lane and
// by the event, and by an event that failed.
func TestScan(t *testing.T) {
	const n = 800
	key := func(i int) string { return fmt.Sprintf("k%04d", i) }
	inWorld(t, func(t *testing.T, w *world) {
		for i := range n {
			w.store.docs["c\x00"+key(i)] = event.DocumentWrite{Collection: "c", Key: key(i), Data: []byte("old")}
		}
		w.store.docs["c0\x00k"] = event.DocumentWrite{Collection: "c0", Key: "k", Data: []byte("next collection")}
		w.store.fault = func(call string) fault { // the first batch is in flight while the second one is handled
			if call == "Commit" {
				return fault{before: time.Second}
			}
			return fault{}
		}
		change := func(fx Effects, from, by int, text string) error {
			for i := from; i < n; i += by {
				var err error
				if i%2 == 0 {
					err = fx.Delete([]byte("c"), []byte(key(i)))
				} else {
					err = fx.Set([]byte("c"), []byte(key(i)), []byte(text))
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		want := func(i int) string { // what event 3 must see
			for _, w := range []struct {
				from, by int
				text     string
			}{{3, 11, "event"}, {2, 7, "lane"}, {0, 5, "in flight"}} {
				if i%w.by == w.from {
					return map[bool]string{true: "", false: w.text}[i%2 == 0]
				}
			}
			return "old"
		}
		checked := 0
		h := handler(func(ctx context.Context, e *event.Event, attempt int, fx Effects) error {
			switch e.Stream {
			case "first":
				return change(fx, 0, 5, "in flight")
			case "lane":
				if _, err := fx.Scan(ctx, []byte("c"), nil, nil, 1); err != nil { // what follows is noted one by one
					return err
				}
				return change(fx, 2, 7, "lane")
			case "bad":
				if err := change(fx, 1, 3, "failed"); err != nil {
					return err
				}
				return failing(event.FailReject)
			}
			if err := change(fx, 3, 11, "event"); err != nil {
				return err
			}
			for _, s := range []struct {
				prefix, after string
				limit         int
			}{{"", "", 5000}, {"", "", 1}, {"k", "", scanPage}, {"k0", "k0000", 300}, {"k01", "", 50}, {"k01", "k0150", 500}, {"k01", "j", 500}, {"k0", key(n), 3}, {"x", "", 3}, {"", key(n - 1), 3}, {key(7), "", 9}} {
				docs, err := fx.Scan(ctx, []byte("c"), []byte(s.prefix), []byte(s.after), s.limit)
				if err != nil {
					return err
				}
				var got, all []string
				for _, d := range docs {
					got = append(got, d.Collection+" "+d.Key+" "+string(d.Data))
				}
				for i := range n {
					if k := key(i); strings.HasPrefix(k, s.prefix) && k > s.after && want(i) != "" && len(all) < s.limit {
						all = append(all, "c "+k+" "+want(i))
					}
				}
				if !slices.Equal(got, all) {
					t.Errorf("scan %+v gives %d documents\n%.300q, want %d\n%.300q", s, len(got), got, len(all), all)
				}
				checked++
			}
			return nil
		})
		w.append("first")
		w.start(h, Options{Lanes: 1})
		rest(500 * time.Millisecond)
		w.append("lane", "bad", "reader")
		w.reaches(4)
		if checked != 11 {
			t.Errorf("%d scans were made", checked)
		}
	})
}

// TestScanOfLargeDocuments does not load what nobody may be given.
func TestScanOfLargeDocuments(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		large := make([]byte, 1<<20)
		for i := range 1000 {
			key := fmt.Sprintf("%04d", i)
			w.store.docs["c\x00"+key] = event.DocumentWrite{Collection: "c", Key: key, Data: large[:i%2*len(large)]}
		}
		got := 0
		w.append("a")
		w.start(handler(func(ctx context.Context, e *event.Event, _ int, fx Effects) error {
			docs, err := fx.Scan(ctx, []byte("c"), nil, nil, 1000)
			for _, d := range docs {
				got += len(d.Data)
			}
			return err
		}), Options{})
		w.reaches(1)
		if got < 16<<20 || got > scanBytes+len(large) || w.store.calls["Scan"] > 1 {
			t.Errorf("a scan gave %d bytes by %d statements", got, w.store.calls["Scan"])
		}
	})
}

func TestOrder(t *testing.T) {
	const longKey = "a hash"
	long := strings.Repeat("x", 600)
	for _, c := range []struct{ orderBy, metadata, want string }{
		{"stream", `{"tenant":"t"}`, "s"},
		{"all", `{"tenant":"t"}`, "all"},
		{"metadata.tenant", `{"tenant":"t"}`, "t"},
		{"metadata.tenant", `{"tenant": "\u0074é"}`, "té"},
		{"metadata.tenant", `{"tenant":7}`, "7"},
		{"metadata.tenant", `{"tenant":{"a":1}}`, `{"a":1}`},
		{"metadata.tenant", `{"tenant":"a\u0000b"}`, `"a\u0000b"`},
		{"metadata.tenant", `{"tenant":""}`, ""},
		{"metadata.tenant", `{"tenant":null}`, "s"},
		{"metadata.tenant", `{"other":"t"}`, "s"},
		{"metadata.tenant", ``, "s"},
		{"metadata.tenant", `[`, "s"},
		{"metadata.a.b", `{"a.b":"t"}`, "t"},
		{"metadata.tenant", `{"tenant":"` + long + `"}`, longKey},
	} {
		order, err := ParseOrder(c.orderBy)
		if err != nil {
			t.Errorf("%s: %v", c.orderBy, err)
			continue
		}
		got := order(&event.Event{Stream: "s", Metadata: []byte(c.metadata)})
		if c.want == longKey { // bounded, and its own
			if !strings.HasPrefix(got, "sha256:") || len(got) != 7+64 || got == order(&event.Event{Metadata: []byte(`{"tenant":"` + long + `y"}`)}) {
				t.Errorf("a long key becomes %q", got)
			}
		} else if got != c.want {
			t.Errorf("%s of %s is %q, want %q", c.orderBy, c.metadata, got, c.want)
		}
	}
	for _, wrong := range []string{"", "streams", "metadata", "metadata.", "Stream"} {
		if _, err := ParseOrder(wrong); err == nil || !strings.Contains(err.Error(), "order_by must be") {
			t.Errorf("order_by %q: %v", wrong, err)
		}
	}
}

// TestDocumentsPosition names the event that wrote a document last.
func TestDocumentsPosition(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.append("a", "b", "a")
		w.start(handler(noting), Options{})
		w.reaches(3)
		for key, want := range map[string]event.Position{"a": 3, "b": 2} {
			if got := w.store.docs["notes\x00"+key].Position; got != want {
				t.Errorf("document %s was written by %d, want %d", key, got, want)
			}
		}
		if c := w.commits()[0]; c.Digest != "digest" || c.Generation != 1 || c.Expected != 0 || len(c.Documents) != 2 {
			t.Errorf("the commit is %+v", c.Commit)
		}
	})
}

var _ State = store.State(nil)
