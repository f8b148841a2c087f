package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/test/pgtest"
	"eshost/test/redistest"
)

// redisHost is a host that uses Redis.
type redisHost struct {
	*process
	api *client
}

func (p *project) redisHost() redisHost {
	p.t.Helper()
	h := p.host()
	return redisHost{h, newClient(p.t, h.ready())}
}

// redisView is what /v1/status says of Redis.
type redisView struct {
	Server, State, Reason, Hint, Role string
	Received                          uint64
	Changed                           uint64 `json:"changes_published"`
}

func (h redisHost) redis() redisView {
	h.t.Helper()
	var s struct{ Redis redisView }
	h.api.get("/v1/status").want(h.t, 200).into(h.t, &s)
	return s.Redis
}

// said are the lines of the host's log about Redis, from a place in it on.
func (h redisHost) said(from int) []string {
	var lines []string
	for line := range strings.Lines(h.stderr.String()[from:]) {
		if strings.Contains(line, "Redis") {
			lines = append(lines, line)
		}
	}
	return lines
}

// awaitRedis waits until a host says a state and a reason.
func (h redisHost) awaitRedis(state, reason string) {
	h.t.Helper()
	eventually(h.t, "Redis is "+state, func() error {
		if v := h.redis(); v.State != state || !strings.Contains(v.Reason, reason) {
			return fmt.Errorf("it is %+v", v)
		}
		return nil
	})
}

// awaitRoles waits until one host polls the database for all.
func awaitRoles(t *testing.T, hosts ...redisHost) {
	t.Helper()
	eventually(t, "one host polls for all", func() error {
		var polls, woken int
		var all []redisView
		for _, h := range hosts {
			v := h.redis()
			all = append(all, v)
			switch v.Role {
			case "polls for all":
				polls++
			case "is woken":
				woken++
			}
		}
		if polls != 1 || woken != len(hosts)-1 {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
}

// append appends an event through the host.
func (h redisHost) append(stream string) event.Position {
	h.t.Helper()
	var a struct{ Position event.Position }
	h.api.post("/v1/streams/"+url.PathEscape(stream), `{"type":"Noted","data":{}}`).want(h.t, 201).into(h.t, &a)
	return a.Position
}

// handledIn returns how long after an event's append the plugin journal has handled it.
func handledIn(t *testing.T, s store.Store, appended event.Position) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		g, err := s.FindPlugin(t.Context(), "journal")
		if err == nil && g.Position >= appended {
			return time.Since(begun)
		}
		if err == nil && time.Since(begun) > patience {
			err = fmt.Errorf("it is at %d of %d", g.Position, appended)
		}
		if err != nil {
			t.Fatalf("the event is not handled: %v", err)
		}
		pause(t.Context(), time.Millisecond)
	}
}

// TestRedisWakesAnotherHost appends through one host what another one handles, that looks at the database every ten
// seconds: Redis makes that milliseconds. The change feed tells of the documents.
func TestRedisWakesAnotherHost(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	storeURL := newDatabase(t, "postgres")
	s := openStore(t, storeURL)
	var hosts []redisHost
	for i, plugins := range [][]plugin{nil, {{"journal", journalModule(t), ""}}} {
		p := newProject(t, storeURL, []string{"front", "worker"}[i], plugins...)
		p.set("[store]", fmt.Sprintf("poll_max = %q", 10*time.Second))
		p.setRedis(redis.URL(), "changes = true", "prefix = \"shop\"")
		hosts = append(hosts, p.redisHost())
	}
	front := hosts[0]
	awaitRoles(t, hosts...)
	changes := redis.Listen("shop:changes:journal")
	var took []time.Duration
	for i := range 5 {
		// Within this time a host that has seen something last looks ever less often: the next look would be seconds away.
		pause(t.Context(), 2*time.Second)
		took = append(took, handledIn(t, s, front.append(fmt.Sprintf("s%d", i))))
	}
	t.Logf("handled by the other host after %v", took)
	if slices.Sort(took); took[2] > time.Second {
		t.Errorf("the other host was not woken: it took %v", took)
	}
	for _, h := range hosts {
		if v := h.redis(); v.State != "ok" || strings.Contains(v.Server, "@") {
			t.Errorf("it is %+v", v)
		}
	}
	var told struct {
		Plugin, Collection, Key string
		Position                int64
	}
	eventually(t, "the change feed tells of a document", func() error {
		for _, text := range changes() {
			if err := json.Unmarshal([]byte(text), &told); err != nil {
				t.Fatal(err)
			}
			if told.Plugin == "journal" && told.Collection == "journal" && told.Position > 0 {
				return nil
			}
		}
		return fmt.Errorf("it tells of %q", changes())
	})
	for _, h := range hosts {
		h.stop()
	}
}

// blackHole accepts connections and never answers.
func blackHole(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the system accepts
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// nobody is an address where nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func webServer(t *testing.T) string {
	t.Helper()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	return web.Listener.Addr().String()
}

func postgresPort(t *testing.T, storeURL string) string {
	t.Helper()
	u, err := url.Parse(storeURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// TestRedisFails lets everything happen to Redis that can while events come in: nothing is lost, each host says what is
// wrong, once, goes on by polling, and uses Redis again when it is well.
func TestRedisFails(t *testing.T) {
	t.Parallel()
	seed := newSeed(t)
	redis, locked := redistest.Start(t), redistest.Start(t, "requirepass", "sesame")
	proxy := redistest.NewProxy(t, redis.Addr())
	storeURL := newDatabase(t, "postgres")
	s := openStore(t, storeURL)
	back := func() { proxy.Lead(redis.Addr()) }
	lead := func(to string) func() { return func() { proxy.Lead(to) } }
	events := newSource("", seed)
	var hosts []redisHost
	for i, plugins := range [][]plugin{nil, bankPlugins(t)} {
		p := newProject(t, storeURL, []string{"front", "worker"}[i], plugins...)
		p.setRedis("redis://" + proxy.Addr() + "/0")
		hosts = append(hosts, p.redisHost())
	}
	front := hosts[0]
	for _, fault := range []struct {
		name          string
		begin, end    func()
		state, reason string
	}{
		{"FLUSHALL", func() { redis.Do("FLUSHALL") }, func() {}, "ok", ""},
		{"broken connections", proxy.Reset, func() {}, "ok", ""},
		{"killed", redis.Kill, redis.Start, "failing", "the connection"},
		{"stopped", redis.Pause, redis.Resume, "failing", "does not answer within 1s"},
		{"a pulled cable", proxy.Cut, proxy.Mend, "failing", "does not answer within 1s"},
		{"a slow link", func() { proxy.Delay(80 * time.Millisecond) }, func() { proxy.Delay(0) }, "slow", "longer than"},
		{"nobody", lead(nobody(t)), back, "failing", "closes the connection"},
		{"a black hole", lead(blackHole(t)), back, "failing", "accepts connections and does not answer within 1s"},
		{"a password", lead(locked.Addr()), back, "failing", "wants a password"},
		{"a web server", lead(webServer(t)), back, "failing", "is no Redis but a web server"},
		{"PostgreSQL", lead(postgresPort(t, storeURL)), back, "failing", "is no Redis but PostgreSQL"},
	} {
		for _, h := range hosts {
			h.awaitRedis("ok", "")
		}
		awaitRoles(t, hosts...)
		from := make([]int, len(hosts))
		for i, h := range hosts {
			from[i] = len(h.stderr.String())
		}
		stopFeed := feed(t, s, events)
		fault.begin()
		for _, h := range hosts {
			h.awaitRedis(fault.state, fault.reason)
		}
		stopFeed()
		settled(t, s, "assemblyscript", "rust", "journal")
		var polls []float64
		if fault.state != "ok" {
			polls = awaitPolls(t, hosts, 5)
		}
		took := handledIn(t, s, front.append("notes-00"))
		fault.end()
		for i, h := range hosts {
			h.awaitRedis("ok", "")
			lines := h.said(from[i])
			if fault.state != "ok" && !slices.ContainsFunc(lines, func(l string) bool {
				return strings.Contains(l, "level=WARN") && (strings.Contains(l, fault.reason) || fault.state == "slow" && strings.Contains(l, "Redis is slow"))
			}) || len(lines) > 6 {
				t.Errorf("%s: the host's log says:\n%s", fault.name, strings.Join(lines, ""))
			}
		}
		t.Logf("%-18s %-7s handled after %6v, polls a second %v", fault.name, fault.state, took.Round(time.Millisecond), polls)
	}
	m := checkBank(t, s)
	for _, h := range hosts {
		h.stop()
	}
	t.Logf("%d events", m.events)
}

// awaitPolls waits until each host polls at least so often in a second, and returns how often they do.
func awaitPolls(t *testing.T, hosts []redisHost, least float64) (polls []float64) {
	t.Helper()
	eventually(t, "the hosts poll", func() error {
		polls = pollsOf(t, hosts)
		pause(t.Context(), time.Second)
		for i, now := range pollsOf(t, hosts) {
			polls[i] = now - polls[i]
		}
		if slices.Min(polls) < least {
			return fmt.Errorf("they have polled %v times in a second", polls)
		}
		return nil
	})
	return polls
}

func pollsOf(t *testing.T, hosts []redisHost) []float64 {
	t.Helper()
	all := make([]float64, len(hosts))
	for i, h := range hosts {
		s, err := scrapeOf(h.api.base)
		if err != nil {
			t.Fatal(err)
		}
		all[i], _ = s.value("eshost_log_polls_total")
	}
	return all
}

// TestStartWithoutRedis starts hosts where something else is in Redis's place: they start at once, say what is wrong in
// the log, the status and the metrics, and handle events.
func TestStartWithoutRedis(t *testing.T) {
	t.Parallel()
	locked := redistest.Start(t, "requirepass", "sesame")
	hung := redistest.Start(t)
	hung.Pause()
	for _, c := range []struct{ name, url, reason string }{
		{"nobody", "redis://" + nobody(t), "refuses connections"},
		{"a black hole", "redis://" + blackHole(t), "accepts connections and does not answer within 1s"},
		{"one that hangs", hung.URL(), "accepts connections and does not answer within 1s"},
		{"no password", "redis://" + locked.Addr(), "wants a password"},
		{"a wrong password", "redis://:hunter2@" + locked.Addr(), "refuses the password or the user"},
		{"a web server", "redis://:hunter2@" + webServer(t), "is no Redis but a web server"},
		{"PostgreSQL", "redis://:hunter2@" + postgresPort(t, pgtest.Shared(t)), "is no Redis but PostgreSQL"},
		{"no TLS", "rediss://:hunter2@" + locked.Addr(), "does not speak TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			storeURL := newDatabase(t, "sqlite")
			p := newProject(t, storeURL, "h", plugin{"journal", journalModule(t), ""})
			p.setRedis(c.url)
			h := p.redisHost()
			h.append("a")
			settled(t, openStore(t, storeURL), "journal")
			h.awaitRedis("failing", c.reason)
			eventually(t, "the metrics say so", func() error {
				m, err := scrapeOf(h.api.base)
				if err != nil {
					return err
				}
				return m.wants("eshost_redis_up", 0)
			})
			h.stop()
			lines := h.said(0)
			if len(lines) != 1 || !strings.Contains(lines[0], c.reason) || !strings.Contains(lines[0], "hint=") {
				t.Errorf("the log says:\n%s", strings.Join(lines, ""))
			}
			if strings.Contains(h.stderr.String()+h.stdout.String(), "hunter2") {
				t.Error("the host shows the password")
			}
		})
	}
}

// TestRedisSparesTheDatabase counts what two idle hosts ask of the database, with and without Redis.
func TestRedisSparesTheDatabase(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	var pairs [2][]redisHost
	for with := range pairs {
		storeURL := newDatabase(t, "postgres")
		for _, name := range []string{"a", "b"} {
			p := newProject(t, storeURL, name, plugin{"journal", journalModule(t), ""})
			if with == 1 {
				p.setRedis(redis.URL())
			}
			pairs[with] = append(pairs[with], p.redisHost())
		}
		pairs[with][0].append("a")
		settled(t, openStore(t, storeURL), "journal")
	}
	awaitRoles(t, pairs[1]...)
	eventually(t, "Redis spares the database", func() error {
		const window = 5 * time.Second
		var before, after [2]load
		for i, hosts := range pairs {
			before[i] = loadOf(t, hosts)
		}
		pause(t.Context(), window)
		for i, hosts := range pairs {
			after[i] = loadOf(t, hosts)
		}
		var polls [2]float64
		for i, what := range []string{"without Redis", "with Redis"} {
			polls[i] = (after[i].polls - before[i].polls) / window.Seconds()
			t.Logf("two idle hosts %s: %.1f statements a second, %.1f of them polls", what, (after[i].statements-before[i].statements)/window.Seconds(), polls[i])
		}
		if polls[1] > 0.75*polls[0] {
			return errors.New("it does not")
		}
		return nil
	})
	for _, hosts := range pairs {
		for _, h := range hosts {
			h.stop()
		}
	}
}

// load is what hosts have asked of the database so far.
type load struct{ statements, polls float64 }

func loadOf(t *testing.T, hosts []redisHost) (l load) {
	t.Helper()
	for _, h := range hosts {
		m, err := scrapeOf(h.api.base)
		if err != nil {
			t.Fatal(err)
		}
		statements, _ := m.value("eshost_store_statements_total")
		polls, _ := m.value("eshost_log_polls_total")
		l.statements, l.polls = l.statements+statements, l.polls+polls
	}
	return l
}
