package test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
)

// TestPartitionsChange splits a plugin into other numbers of partitions while two hosts run it and events come in, some of
// which wait behind failed ones: what it makes in the end is what one host would have made, and what waited still does.
func TestPartitionsChange(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		seed := newSeed(t)
		s := openStore(t, storeURL)
		stopFeed := feed(t, s, newSource("", seed))
		projects := []*project{newProject(t, storeURL, "a", splitPlugins(t)...), newProject(t, storeURL, "b", splitPlugins(t)...)}
		var hosts []*process
		for _, p := range projects {
			hosts = append(hosts, p.host())
			hosts[len(hosts)-1].ready()
		}
		awaitPartitions(t, s, "journal", 4)
		rng := newRand(seed, 9100)
		for _, n := range []int{1, 7, 2} {
			pause(t.Context(), upTo(rng, time.Second))
			for _, p := range projects { // one after another, as a deployment would
				p.edit("hosts.toml", "[plugins.journal]", n)
				p.must("reload")
			}
			awaitPartitions(t, s, "journal", n)
		}
		stopFeed()
		m := checkBank(t, s)
		for _, h := range hosts {
			h.stop()
		}
		t.Logf("%d events", m.events)
	})
}

// edit sets a plugin's partitions in hosts.toml.
func (p *project) edit(file, section string, partitions int) {
	p.t.Helper()
	text := string(read(p.t, p.dir+"/"+file))
	head, rest, ok := strings.Cut(text, section+"\n")
	if !ok {
		p.t.Fatalf("no %s in %s", section, text)
	}
	lines := strings.Split(rest, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "partitions = ") {
			lines[i] = fmt.Sprintf("partitions = %d", partitions)
			break
		}
	}
	p.write(file, head+section+"\n"+strings.Join(lines, "\n"))
}

// awaitPartitions waits until a plugin has so many partitions and all of them are run.
func awaitPartitions(t *testing.T, s store.Store, plugin string, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s has %d partitions", plugin, n), func() error {
		units, err := s.Units(t.Context())
		if err != nil {
			return err
		}
		have, run := 0, 0
		for _, u := range units {
			if u.Plugin == plugin && u.State == store.Live {
				have++
				if u.OwnerLive {
					run++
				}
			}
		}
		if have != n || run != n {
			return fmt.Errorf("it has %d, %d of them run", have, run)
		}
		return nil
	})
}

// TestParkedOverPartitions parks events in several partitions and changes their number: each waits still, in the partition
// where its key belongs, and a retry of all goes to all of them.
func TestParkedOverPartitions(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		s := openStore(t, storeURL)
		module := journalModule(t)
		p := newProject(t, storeURL, "h", plugin{"journal", module, "partitions = 3\n[plugins.journal.retry]\nattempts = 1\n[plugins.journal.limits]\ntime = \"10s\"\n"})
		h := p.host()
		h.ready()
		const streams = 12
		for i := range streams { // version 1 fails on its only attempt, 2 waits behind it
			stream := store.StreamAppend{Stream: fmt.Sprintf("s%02d", i), Events: []store.NewEvent{{Type: "FailsOnce", Data: []byte("{}")}, {Type: "Noted", Data: []byte("{}")}}}
			if err := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{stream}}})[0].Err; err != nil {
				t.Fatal(err)
			}
		}
		parked := func(n, waiting int) func() error {
			return func() error {
				all, err := s.Plugins(t.Context())
				if err != nil {
					return err
				}
				if len(all) != 1 || all[0].Parked != n || all[0].Waiting != waiting || all[0].Retrying != 0 {
					return fmt.Errorf("%+v", all)
				}
				return nil
			}
		}
		eventually(t, "all are parked", parked(streams, 2*streams))
		p.edit("hosts.toml", "[plugins.journal]", 5)
		p.must("reload")
		awaitPartitions(t, s, "journal", 5)
		if err := parked(streams, 2*streams)(); err != nil {
			t.Errorf("after the change: %v", err)
		}
		units, err := s.Units(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, u := range units {
			sequences, err := s.Sequences(t.Context(), u.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range sequences {
				seen++
				if at := event.PartitionOf(q.Key, 5); at != u.Partition || q.Attempts != 1 || q.Waiting != 2 {
					t.Errorf("%s belongs to partition %d and is in %d: %+v", q.Key, at, u.Partition, q)
				}
			}
		}
		if seen != streams {
			t.Errorf("%d sequences of %d", seen, streams)
		}
		var list struct{ Sequences []struct{ Key string } }
		if err := json.Unmarshal([]byte(p.must("parked", "list", "journal", "--json")), &list); err != nil || len(list.Sequences) != streams {
			t.Errorf("parked list has %d sequences: %v", len(list.Sequences), err)
		}
		p.must("parked", "show", "journal", "s07")
		p.must("parked", "skip", "journal", "s07", "--why", "a test")
		// "… failed events are tried again at once (partition 3)", or "(2 partitions)" where two say the same
		answer := p.must("parked", "retry", "journal", "--all")
		retried := 0
		for _, m := range regexp.MustCompile(`(\d+) failed events[^;]* \((?:partition \d+|(\d+) partitions)\)`).FindAllStringSubmatch(answer, -1) {
			n, _ := strconv.Atoi(m[1])
			partitions, _ := strconv.Atoi(cmp.Or(m[2], "1"))
			retried += n * partitions
		}
		if retried != streams {
			t.Errorf("the answer accounts for %d sequences of %d: %s", retried, streams, answer)
		}
		log, err := s.RequestLog(t.Context(), "journal", 100)
		if err != nil {
			t.Fatal(err)
		}
		done := map[int]bool{}
		for _, r := range log {
			if r.Action == store.AskRetry && r.State == store.Done {
				done[r.Partition] = true
			}
		}
		if len(done) != 5 {
			t.Errorf("after the answer %d partitions of 5 have retried: %+v", len(done), log)
		}
		// What was skipped left the second event of its stream, which cannot be handled without the first.
		eventually(t, "all have failed again", parked(streams, 2*streams-1))
		h.stop()
	})
}

// TestRebuildOfPartitions rebuilds a plugin in partitions that two hosts run: while it is built they are on one host, and
// when it is live they are shared again.
func TestRebuildOfPartitions(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		s := openStore(t, storeURL)
		section := plugin{"balances", balancesModule(t, "assemblyscript"), "partitions = 4\n" + bankTypes}
		p := newProject(t, storeURL, "a", section)
		p.put("louder.wasm", louder(t))
		stopFeed := feed(t, s, newSource("", newSeed(t)))
		a := p.host()
		a.ready()
		b := newProject(t, storeURL, "b", section).host()
		b.ready()
		awaitShares(t, s, map[string]int{"a": 2, "b": 2})
		p.must("rebuild", "balances", "--module", "louder.wasm")
		awaitLive(t, s, 2)
		awaitShares(t, s, map[string]int{"a": 2, "b": 2})
		p.must("rebuild", "balances", "--rollback")
		awaitLive(t, s, 1)
		p.must("rebuild", "balances", "--rollback")
		awaitLive(t, s, 2)
		p.must("pause", "balances")
		eventually(t, "both hosts pause it", func() error {
			all, err := s.Plugins(t.Context())
			if err != nil {
				return err
			}
			for _, part := range all[0].Partitions {
				if part.Condition.State != store.Paused {
					err = errors.Join(err, fmt.Errorf("partition %d is %s", part.Partition, part.Condition.State))
				}
			}
			return err
		})
		p.must("resume", "balances")
		stopFeed()
		settled(t, s, "balances")
		compareDocuments(t, "balances", documents(t, s, "balances", "balances"), loud(modelOf(t, s).balances))
		a.stop()
		b.stop()
	})
}

func awaitLive(t *testing.T, s store.Store, number int) {
	t.Helper()
	eventually(t, fmt.Sprintf("generation %d is live", number), func() error {
		g, err := s.FindPlugin(t.Context(), "balances")
		if err == nil && g.Number != number {
			err = fmt.Errorf("it is %d", g.Number)
		}
		return err
	})
}

// TestChangeWaitsForStandingPartition changes the number of partitions while one of them is paused by its bound of parked
// events: the others go on, undisturbed, everybody can see why it waits, and it is done once that one goes on.
func TestChangeWaitsForStandingPartition(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		s := openStore(t, storeURL)
		section := plugin{"journal", journalModule(t), "partitions = 3\n[plugins.journal.retry]\nattempts = 1\nmax_parked = 1\n[plugins.journal.limits]\ntime = \"10s\"\n"}
		p := newProject(t, storeURL, "a", section)
		p.set("[host]", `lease_ttl = "1m"`) // nobody loses a lease because the machine is busy
		a := p.host()
		a.ready()
		b := newProject(t, storeURL, "b", section).host()
		b.ready()
		awaitPartitions(t, s, "journal", 3)
		streams := [3]string{streamIn(0, 3), streamIn(1, 3), streamIn(2, 3)}
		note := func(stream, eventType string) {
			e := store.StreamAppend{Stream: stream, Expected: store.AnyVersion, Events: []store.NewEvent{{Type: eventType, Data: []byte("{}")}}}
			if err := s.Append(t.Context(), []store.AppendRequest{{Streams: []store.StreamAppend{e}}})[0].Err; err != nil {
				t.Fatal(err)
			}
		}
		versions := 0
		others := func() { // handle an event each
			versions++
			note(streams[0], "Noted")
			note(streams[2], "Noted")
			eventually(t, "the other partitions go on", func() error {
				docs := documents(t, s, "journal", "journal")
				if want := strconv.Itoa(versions); docs[streams[0]] != want || docs[streams[2]] != want {
					return fmt.Errorf("they have made %v, not version %s", docs, want)
				}
				return nil
			})
		}
		note(streams[1], "FailsOnce")
		awaitReason(t, s, "journal", 1, "max_parked = 1")
		others()

		p.edit("hosts.toml", "[plugins.journal]", 5)
		p.must("reload")
		const why = "waiting to have 5 partitions instead of 3: its partitions have to come to one position first: partition 1 is paused"
		for i := range streams {
			awaitReason(t, s, "journal", i, why)
		}
		before := epochs(t, s, "journal")
		for began := time.Now(); time.Since(began) < 5*time.Second; { // the hosts look at it once a second
			others()
		}
		if now := epochs(t, s, "journal"); !slices.Equal(now, before) {
			t.Errorf("sessions began anew while the change waited: epochs %v, before %v", now, before)
		}
		newProject(t, storeURL, "elsewhere").wantRun(0, []string{why, "max_parked = 1"}, "status")

		p.must("parked", "skip", "journal", streams[1], "--why", "a test")
		awaitPartitions(t, s, "journal", 5)
		for i := range 5 {
			awaitReason(t, s, "journal", i, "")
		}
		others()
		a.stop()
		b.stop()
	})
}

// TestChangeWaitsForBuild changes the number of partitions while a generation is built, which does not get on.
func TestChangeWaitsForBuild(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, storeURL string) {
		s := openStore(t, storeURL)
		p := newProject(t, storeURL, "a", plugin{"journal", journalModule(t), "partitions = 2"})
		a := p.host()
		a.ready()
		awaitShares(t, s, map[string]int{"a": 2})
		if err := s.PutModule(t.Context(), "broken", []byte("no module")); err != nil {
			t.Fatal(err)
		}
		units, err := s.Units(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leader := store.Leader{Owner: units[0].Owner, Held: store.Held{Generation: units[0].ID, Epoch: units[0].Epoch}}
		if _, err := s.BuildGeneration(t.Context(), leader, "journal", 0, "broken"); err != nil {
			t.Fatal(err)
		}
		p.edit("hosts.toml", "[plugins.journal]", 3)
		p.must("reload")
		const why = "waiting to have 3 partitions instead of 2: a generation is being built"
		awaitReason(t, s, "journal", 0, why)
		newProject(t, storeURL, "elsewhere").wantRun(0, []string{"journal is running: " + why, "journal is rebuilt: generation 2"}, "status")
		p.must("rebuild", "journal", "--drop-old", "--generation", "2")
		awaitPartitions(t, s, "journal", 3)
		awaitReason(t, s, "journal", 0, "")
		a.stop()
	})
}

// streamIn is a stream whose events are in a partition.
func streamIn(partition, of int) string {
	for i := 0; ; i++ {
		if s := fmt.Sprintf("stream-%d", i); event.PartitionOf(s, of) == partition {
			return s
		}
	}
}

// awaitReason waits until the store says something of one of a plugin's partitions; nothing at all for "".
func awaitReason(t *testing.T, s store.Store, plugin string, partition int, says string) {
	t.Helper()
	eventually(t, fmt.Sprintf("partition %d of %s says %q", partition, plugin, says), func() error {
		all, err := s.Plugins(t.Context())
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.Plugin != plugin || len(p.Partitions) <= partition {
				continue
			}
			c := p.Partitions[partition].Condition
			if !strings.Contains(c.Reason, says) || says == "" && c.Reason != "" {
				return fmt.Errorf("it is %s: %q", c.State, c.Reason)
			}
			return nil
		}
		return errors.New("there is none")
	})
}

// epochs are those of a plugin's partitions.
func epochs(t *testing.T, s store.Store, plugin string) []int64 {
	t.Helper()
	units, err := s.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []int64
	for _, u := range units {
		if u.Plugin == plugin && u.State == store.Live {
			all = append(all, u.Epoch)
		}
	}
	return all
}
