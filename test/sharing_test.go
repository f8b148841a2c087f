package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eshost/host/store"
)

// splitPlugins are bankPlugins, two of them in partitions, so that there are several for hosts to share.
func splitPlugins(t *testing.T) []plugin {
	t.Helper()
	all := bankPlugins(t)
	all[1].more = "partitions = 3\n" + all[1].more
	all[2].more = "partitions = 4\n" + all[2].more
	return all
}

const splitUnits = 1 + 3 + 4

// owned is which partitions each host owns, by the host's name.
func owned(t *testing.T, s store.Store) (map[string][]string, error) {
	hosts, err := s.Hosts(t.Context())
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, h := range hosts {
		names[h.ID] = h.Name
	}
	units, err := s.Units(t.Context())
	if err != nil {
		return nil, err
	}
	by := map[string][]string{}
	for _, u := range units {
		if u.State != store.Live {
			continue
		}
		name := ""
		if u.OwnerLive {
			name = names[u.Owner]
		}
		by[name] = append(by[name], fmt.Sprintf("%s/%d", u.Plugin, u.Partition))
	}
	return by, nil
}

// awaitShares waits until each host owns as many units as it should, and nobody else owns any.
func awaitShares(t *testing.T, s store.Store, want map[string]int) map[string][]string {
	t.Helper()
	var by map[string][]string
	eventually(t, fmt.Sprintf("the shares are %v", want), func() error {
		var err error
		if by, err = owned(t, s); err != nil {
			return err
		}
		shares := map[string]int{}
		for name, units := range by {
			shares[name] = len(units)
		}
		if !maps.Equal(shares, want) {
			return fmt.Errorf("they are %v", by)
		}
		return nil
	})
	return by
}

// TestHostsShare lets hosts come and go beside one another: each has its share of the plugins and their partitions, keeps
// what it has as far as it can, and what they make together is what one host would have made.
func TestHostsShare(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", seed))
		projects := map[string]*project{}
		for _, name := range []string{"a", "b", "c"} {
			projects[name] = newProject(t, storeURL, name, splitPlugins(t)...)
		}
		a := projects["a"].host()
		a.ready()
		one := awaitShares(t, s, map[string]int{"a": splitUnits})
		b := projects["b"].host()
		b.ready()
		two := awaitShares(t, s, map[string]int{"a": 4, "b": 4})
		c := projects["c"].host()
		c.ready()
		three := map[string][]string{}
		eventually(t, "three hosts share", func() error {
			var err error
			if three, err = owned(t, s); err != nil {
				return err
			}
			if len(three[""]) > 0 || len(three["a"]) < 2 || len(three["b"]) < 2 || len(three["c"]) < 2 {
				return fmt.Errorf("%v", three)
			}
			return nil
		})
		for _, name := range []string{"a", "b"} {
			for _, u := range three[name] {
				if !slices.Contains(two[name], u) {
					t.Errorf("%s moved between hosts that were there before: %v, then %v, then %v", u, one, two, three)
				}
			}
		}
		c.kill()
		awaitShares(t, s, map[string]int{"a": 4, "b": 4})
		b.stop()
		awaitShares(t, s, map[string]int{"a": splitUnits})
		stopFeed()
		m := checkBank(t, s)
		a.stop()
		t.Logf("%d events", m.events)
	})
}

// audit records every change of a generation's row in the test's own database.
const audit = `
CREATE TABLE public.trail (n bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT clock_timestamp(), id bigint, owner text, epoch bigint, was_owner text, was_epoch bigint, moved bigint);
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.trail (id, owner, epoch, was_owner, was_epoch, moved) VALUES (NEW.id, NEW.owner, NEW.epoch, OLD.owner, OLD.epoch, NEW.position - OLD.position);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON eshost.generations FOR EACH ROW EXECUTE FUNCTION public.note()`

// TestRollingRestart restarts three hosts one after another while events come in, and prints how long a partition was
// without an owner. The database's own record of every change shows that none ever had two: checkpoints move only under
// the epoch and the owner of that moment, and epochs only rise.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	storeURL := newDatabase(t, "postgres")
	s := openStore(t, storeURL)
	conn, err := pgx.Connect(t.Context(), storeURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	stopFeed := feed(t, s, newSource("", seed))
	hosts := map[string]*process{}
	for _, name := range []string{"a", "b", "c"} {
		hosts[name] = newProject(t, storeURL, name, splitPlugins(t)...).host()
		hosts[name].ready()
	}
	shared := func() {
		eventually(t, "three hosts share", func() error {
			by, err := owned(t, s)
			if err == nil && (len(by[""]) > 0 || len(by["a"]) < 2 || len(by["b"]) < 2 || len(by["c"]) < 2) {
				err = fmt.Errorf("%v", by)
			}
			return err
		})
	}
	shared()
	if _, err := conn.Exec(t.Context(), audit); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		hosts[name].stop()
		eventually(t, "the others have all", func() error {
			by, err := owned(t, s)
			if err == nil && len(by[""])+len(by[name]) > 0 {
				err = fmt.Errorf("%v", by)
			}
			return err
		})
		hosts[name] = newProject(t, storeURL, name, splitPlugins(t)...).host()
		hosts[name].ready()
		shared()
	}
	stopFeed()
	m := checkBank(t, s)
	for _, h := range hosts {
		h.stop()
	}
	gaps := judgeTrail(t, conn)
	slices.Sort(gaps)
	if len(gaps) == 0 {
		t.Fatal("nothing was handed over")
	}
	t.Logf("%d events; %d hand-overs; without an owner: median %v, longest %v", m.events, len(gaps),
		gaps[len(gaps)/2].Round(time.Millisecond), gaps[len(gaps)-1].Round(time.Millisecond))
}

// TestStopHandsOverAtOnce stops a host whose end takes long: an append of its waits for an application's transaction. Its
// plugins are run by the other host meanwhile.
func TestStopHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	storeURL := newDatabase(t, "postgres")
	s := openStore(t, storeURL)
	a := newProject(t, storeURL, "a", splitPlugins(t)...).host()
	a.ready()
	b := newProject(t, storeURL, "b", splitPlugins(t)...).host()
	listener := b.ready()
	awaitShares(t, s, map[string]int{"a": splitUnits / 2, "b": splitUnits / 2})

	tx, err := connect(t, storeURL).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT eshost.append_event('held', 'Noted', '{}')`); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		res, err := http.Post(listener+"/v1/streams/held?expected=any", "application/json", strings.NewReader(`{"type":"Noted","data":{}}`))
		if err == nil {
			err = res.Body.Close()
		}
		answered <- err
	}()
	watch := connect(t, storeURL)
	eventually(t, "the append waits", func() error {
		n := 0
		err := watch.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("nobody waits")
		}
		return err
	})
	b.signal(syscall.SIGTERM)
	awaitShares(t, s, map[string]int{"a": splitUnits})
	select {
	case <-b.done:
		t.Error("the host had ended before its plugins were taken over")
	default:
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-answered
	if code := b.wait(); code != 0 {
		t.Errorf("the stopped host ended with code %d", code)
	}
	a.stop()
}

// judgeTrail holds the record to one owner at a time, and returns how long each hand-over took.
func judgeTrail(t *testing.T, conn *pgx.Conn) []time.Duration {
	t.Helper()
	rows, err := conn.Query(context.WithoutCancel(t.Context()), `SELECT at, id, coalesce(owner, ''), epoch, coalesce(was_owner, ''), was_epoch, moved FROM public.trail ORDER BY n`)
	if err != nil {
		t.Fatal(err)
	}
	type change struct {
		At              time.Time
		ID              int64
		Owner           string
		Epoch           int64
		WasOwner        string
		WasEpoch, Moved int64
	}
	changes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[change])
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) < 100 {
		t.Fatalf("only %d changes were recorded", len(changes))
	}
	free := map[int64]change{}
	var gaps []time.Duration
	var wrong []string
	for _, c := range changes {
		switch {
		case c.Epoch < c.WasEpoch:
			wrong = append(wrong, fmt.Sprintf("an epoch fell: %+v", c))
		case c.Owner != c.WasOwner && c.Owner != "" && c.Epoch == c.WasEpoch:
			wrong = append(wrong, fmt.Sprintf("an owner came under an old epoch: %+v", c))
		case c.Moved != 0 && (c.Owner == "" || c.Owner != c.WasOwner || c.Epoch != c.WasEpoch):
			wrong = append(wrong, fmt.Sprintf("a checkpoint moved in another's hands: %+v", c))
		case c.Owner == "" && c.WasOwner != "":
			free[c.ID] = c
		case c.Owner != "" && c.WasOwner == "":
			if since, ok := free[c.ID]; ok {
				gaps = append(gaps, c.At.Sub(since.At))
				delete(free, c.ID)
			}
		}
	}
	if len(wrong) > 0 {
		t.Error(errors.New(strings.Join(wrong[:min(len(wrong), 5)], "\n")))
	}
	return gaps
}
