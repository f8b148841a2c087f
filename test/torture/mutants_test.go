package torture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mutation is a mistake that somebody could make.
type mutation struct {
	name  string
	edits []edit
	// What must find it: runs on a store, which then find something of one of these kinds; or else a test.
	store string
	want  []kind
	// clocks says that it shows only where hosts' clocks differ.
	clocks bool
	test   []string // arguments of go test
	// why it takes a test, where it does.
	why string
}

// edit replaces a text that stands in a file once.
type edit struct{ file, old, new string }

// mutations are the places at which each invariant hangs by a line.
var mutations = []mutation{
	{
		name: "the guard asks neither for the epoch nor for the owner", store: "postgres", want: []kind{stale},
		edits: []edit{{"host/store/postgres/statements.go", "WHERE id = $1 AND epoch = $2 AND position = $3 AND owner = $6 AND root = $7",
			"WHERE id = $1 AND epoch >= $2 AND position = $3 AND $6 <> '' AND root = $7"}},
	},
	{
		name: "the guard does not ask for the epoch",
		edits: []edit{{"host/store/postgres/statements.go", "WHERE id = $1 AND epoch = $2 AND position = $3 AND owner = $6 AND root = $7",
			"WHERE id = $1 AND epoch >= $2 AND position = $3 AND owner = $6 AND root = $7"}},
		test: []string{"./host/store/postgres", "-run", "TestStore$"},
		why:  "the owner and the checkpoint are asked for too, so only a host that overtakes itself could show it",
	},
	{
		name: "the guard does not ask for the checkpoint",
		edits: []edit{{"host/store/sqlite/commit.go", "WHERE id = ? AND epoch = ? AND position = ? AND owner = ?",
			"WHERE id = ? AND epoch = ? AND position + 0 * ? >= 0 AND owner = ?"}},
		test: []string{"./host/store/sqlite", "-run", "TestContract$"},
		why:  "an owner commits one batch after the other and takes the lease anew after an error, so its epoch says the same",
	},
	{
		name: "a lease is taken under the old epoch", store: "sqlite", want: []kind{stale},
		edits: []edit{{"host/store/sqlite/lease.go", "owner = ?, epoch = epoch + 1", "owner = ?, epoch = max(epoch, 1)"}},
	},
	{
		name: "a lease is taken before it has expired", store: "postgres", want: []kind{stale},
		edits: []edit{{"host/store/postgres/statements.go", "WHERE h.id = g.owner AND h.expires_at > clock_timestamp()))\nRETURNING",
			"WHERE h.id = g.owner AND h.expires_at > clock_timestamp() + interval '1500 milliseconds'))\nRETURNING"},
			{"host/store/postgres/statements.go", "func leftOf(expiresAt string) string {\n", "func leftOf(expiresAt string) string {\n\texpiresAt += ` - interval '1500 milliseconds'`\n"}},
	},
	{
		name: "a host's clock says when its leases expire", store: "postgres", want: []kind{stale}, clocks: true,
		edits: []edit{
			{"host/store/postgres/statements.go", "SET expires_at = clock_timestamp() + $2 * interval '1 microsecond' WHERE id = $1", "SET expires_at = to_timestamp($2 / 1e6) WHERE id = $1"},
			{"host/store/postgres/leases.go", "s.sql.renewHost, hostID, ttl.Microseconds()", "s.sql.renewHost, hostID, float64(time.Now().Add(ttl).UnixMicro())"},
			{"host/store/postgres/statements.go", "VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 microsecond', $6", "VALUES ($1, $2, $3, $4, to_timestamp($5 / 1e6), $6"},
			{"host/store/postgres/leases.go", "h.StartedAt, ttl.Microseconds(), h.Weight", "h.StartedAt, float64(time.Now().Add(ttl).UnixMicro()), h.Weight"},
		},
	},
	{
		name: "the locks are looked at before the high water is read", store: "postgres", want: []kind{lost, disordered},
		edits: []edit{{"host/store/postgres/reconnect.go", "\tmark = t.mark.scan(highWater, ids)\n",
			"\tif err := t.conn.QueryRow(ctx, t.s.sql.head).Scan(&highWater); err != nil {\n\t\treturn 0, \"\", err\n\t}\n\tmark = t.mark.scan(highWater, ids)\n"}},
	},
	{
		name: "the head is published as the watermark", store: "postgres", want: []kind{lost, disordered},
		edits: []edit{{"host/store/postgres/reconnect.go", "\tmark = t.mark.scan(highWater, ids)\n", "\tt.mark.scan(highWater, ids)\n\tmark = highWater\n"}},
	},
	{
		name: "documents are committed before the checkpoint", store: "postgres", want: []kind{apart, duplicated, stale, diverged},
		edits: []edit{{"host/store/postgres/commit.go", "\ts.queueDocuments(batch, c)\n",
			"\tfirst := &pgx.Batch{}\n\ts.queueDocuments(first, c)\n\tif err := s.commits.SendBatch(ctx, first).Close(); err != nil {\n\t\treturn err\n\t}\n"}},
	},
	{
		name: "the cache is kept over a lost lease", store: "sqlite", want: []kind{lost, diverged, duplicated},
		edits: []edit{{"host/internal/delivery/session.go", "\ts.cache = newCache(state, s.o.Root, s.o.CacheBytes)\n\ts.cache.complete = len(collections) == 0\n",
			"\tmine, known := kept.LoadOrStore(generation, newCache(state, s.o.Root, s.o.CacheBytes))\n\ts.cache = mine.(*cache)\n\tif !known {\n\t\ts.cache.complete = len(collections) == 0\n\t}\n"},
			{"host/internal/delivery/session.go", "// close ends the session:", "var kept sync.Map\n\n// close ends the session:"},
			{"host/internal/delivery/session.go", "\t\"fmt\"\n", "\t\"fmt\"\n\t\"sync\"\n"}},
	},
	{
		name: "what follows a failed event does not wait", store: "sqlite", want: []kind{disordered},
		edits: []edit{{"host/internal/delivery/lane.go", "if l.bounds.held[t.key] != nil || l.failed[t.key] != nil {", "if l.failed[t.key] != nil {"}},
	},
	{
		name: "a failed event's writes are kept", store: "sqlite", want: []kind{torn},
		edits: []edit{{"host/internal/delivery/lane.go", "\t\tl.enqueue(t)\n\t} else {\n\t\tl.apply(t.e)\n\t}\n", "\t\tl.enqueue(t)\n\t}\n\tl.apply(t.e)\n"}},
	},
	{
		name: "lanes do not look whether they meet", store: "postgres", want: []kind{lost, disordered, diverged},
		edits: []edit{{"host/internal/delivery/conflict.go", "\treturn meetInDocuments(ls) || meetInScans(ls)\n", "\treturn len(ls) < 0 && (meetInDocuments(ls) || meetInScans(ls))\n"}},
	},
	{
		name: "the last event of a retry is handled again", store: "sqlite", want: []kind{duplicated},
		edits: []edit{{"host/internal/delivery/retry.go", "\tfor i := range s.tasks[:out.done] {\n", "\tfor i := range s.tasks[:max(out.done-1, min(out.done, 1))] {\n"}},
	},
	{
		name: "hosts disagree which partition a key is in", store: "postgres", want: []kind{lost, disordered, duplicated, diverged},
		edits: []edit{{"host/event/partition.go", "\th := uint64(14695981039346656037)\n", "\th := uint64(14695981039346656037) + uint64(os.Getpid())\n"},
			{"host/event/partition.go", "import (\n", "import (\n\t\"os\"\n"}},
	},
	{
		name: "emitted events get random ids", store: "sqlite", want: []kind{diverged},
		edits: []edit{{"host/internal/plugin/chain.go", "return uuid.NewSHA1(emittedSpace, fmt.Appendf(nil, \"%s\\x00%s\\x00%d\", plugin, cause, index)).String()",
			"return uuid.NewSHA1(uuid.New(), fmt.Appendf(nil, \"%s\\x00%s\\x00%d\", plugin, cause, index)).String() + uuid.Nil.String()[:emittedSpace[0]&0]"}},
	},
	{
		name: "what an event emits is stored before it is committed", store: "postgres", want: []kind{apart},
		edits: []edit{{"host/store/postgres/commit.go", "\ts.queueInsert(batch, rows, new([]event.Position))\n",
			"\tif len(rows) > 0 {\n\t\tfirst := &pgx.Batch{}\n\t\ts.queueInsert(first, rows, new([]event.Position))\n\t\tif err := s.commits.SendBatch(ctx, first).Close(); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n"}},
	},
	{
		name: "a read model that Redis has lost goes on from the checkpoint in the database", store: "sqlite", want: []kind{lost},
		edits: []edit{{"host/internal/redismodel/model.go", "\t\tseen, err = m.begin(ctx, generation, lease.Epoch, seen, err)\n",
			"\t\tm.o.Start = func(context.Context) (event.Position, error) { return lease.Position, nil }\n\t\tseen, err = m.begin(ctx, generation, lease.Epoch, seen, err)\n"}},
	},
	{
		name: "documents are written to Redis before the checkpoint", store: "sqlite", want: []kind{apart, duplicated},
		edits: []edit{{"host/internal/redismodel/commit.go", "\tkeys, args, err := m.script(c)\n",
			"\tif c.Position != c.Expected && len(c.Documents) > 0 {\n\t\tfirst := *c\n\t\tfirst.Position, first.Queue, first.Dequeue, first.Sequences, first.Answers = c.Expected, nil, nil, nil, nil\n" +
				"\t\tif err := m.apply(ctx, &first); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n\tkeys, args, err := m.script(c)\n"}},
	},
	{
		name: "Redis takes commits of owners that were replaced", store: "sqlite", want: []kind{apart, lost, duplicated, stale, wentBack},
		edits: []edit{
			{"host/internal/redismodel/script/commit.lua", "if meta[1] ~= ARGV[1] or meta[2] ~= ARGV[2] then return {'taken', meta[2] or ''} end\n", ""},
			{"host/internal/redismodel/script/commit.lua", "if meta[4] ~= ARGV[4] then return {'moved', meta[4]} end\nif meta[3] ~= ARGV[3] then return {'repeated'} end\n", ""},
		},
	},
	{
		name:  "the script in Redis does not compare the checkpoint",
		edits: []edit{{"host/internal/redismodel/script/commit.lua", "if meta[4] ~= ARGV[4] then return {'moved', meta[4]} end\n", ""}},
		test:  []string{"./host/internal/redismodel", "-run", "TestRefusedCommitsChangeNothing$"},
		why:   "the session and the number of its commit say the same",
	},
	{
		name: "a read model in Redis is ready before it has got where it was begun", store: "sqlite", want: []kind{diverged},
		edits: []edit{{"host/internal/redismodel/model.go", "\tif fresh.position >= head {\n", "\tif fresh.position <= head {\n"}},
	},
	{
		name: "nobody looks at a read model in Redis at rest", store: "sqlite", want: []kind{stuck},
		edits: []edit{{"host/internal/redismodel/feed.go", "\t\tif err := m.look(ctx); isLost(err) {\n", "\t\tif err := m.look(ctx); isLost(err) && ctx.Err() != nil {\n"}},
	},
}

// files are the mutated files, by path.
func (m *mutation) files() (map[string]string, error) {
	made := map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(root, filepath.FromSlash(e.file))
		text, edited := made[path]
		if !edited {
			original, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			text = string(original)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s: the text to be replaced stands there %d times, must be once:\n%s", e.file, n, e.old)
		}
		made[path] = strings.Replace(text, e.old, e.new, 1)
	}
	return made, nil
}

// TestMutationsApply keeps the mutations up with the code: one that cannot be made proves nothing.
func TestMutationsApply(t *testing.T) {
	t.Parallel()
	for _, m := range mutations {
		if _, err := m.files(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if (m.store == "") == (m.test == nil) || (m.test == nil) != (m.why == "") {
			t.Errorf("%s: it must be found by runs, or by a test for a reason", m.name)
		}
	}
}

// TestMutants makes each mistake and has the harness find it. It takes long: ESHOST_TORTURE_MUTANTS=1, which
// make mutants sets, runs it.
func TestMutants(t *testing.T) {
	if os.Getenv("ESHOST_TORTURE_MUTANTS") == "" {
		t.Skip("make mutants runs it, or ESHOST_TORTURE_MUTANTS=1")
	}
	var rows []string
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			began := time.Now()
			how := m.find(t)
			if how == "" {
				t.Errorf("nothing has found it")
				how = "**not found**"
			}
			rows = append(rows, fmt.Sprintf("| %s | %s | %s |", m.name, how, time.Since(began).Round(time.Second)))
		})
	}
	t.Logf("\n| mutation | found | time, with the build |\n| --- | --- | ---: |\n%s", strings.Join(rows, "\n"))
}

// find returns what has found the mutation, empty if nothing has.
func (m *mutation) find(t *testing.T) string {
	t.Helper()
	files, err := m.files()
	if err != nil {
		t.Fatal(err)
	}
	if m.test != nil {
		return m.findByTest(t, files)
	}
	if m.clocks {
		clock, err := clockFiles()
		if err != nil {
			t.Fatal(err)
		}
		for path, text := range clock {
			files[path] = text
		}
	}
	binary := filepath.Join(t.TempDir(), "eshost")
	if err := buildOver(binary, files); err != nil {
		t.Fatalf("build the mutant: %v", err)
	}
	const seeds = 8
	for seed := uint64(1); seed <= seeds; seed++ {
		out := torture(t, options{seed: seed, store: m.store, binary: binary, reference: eshost(t), clocks: m.clocks, lasts: 12 * time.Second, patience: 30 * time.Second, keep: t.TempDir()})
		if found := slices.DeleteFunc(out.found.kinds(), func(k kind) bool { return !slices.Contains(m.want, k) }); len(found) > 0 {
			var how []string
			for _, k := range found {
				how = append(how, fmt.Sprintf("%s %d", k, len(out.found[k])))
			}
			t.Logf("seed %d found:\n%s", seed, out.found)
			return fmt.Sprintf("%s, seed %d: %s", m.store, seed, strings.Join(how, ", "))
		}
		t.Logf("seed %d found: %s", seed, out.found)
	}
	return ""
}

// findByTest runs a test on the mutated code, which must fail.
func (m *mutation) findByTest(t *testing.T, files map[string]string) string {
	t.Helper()
	flag, err := overlay(t.TempDir(), files)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"test", "-count=1", flag}, m.test...)...)
	cmd.Dir = root
	said, err := cmd.CombinedOutput()
	text := string(said)
	i := strings.Index(text, "--- FAIL: ")
	if err == nil || i < 0 {
		t.Logf("go test %s: %v\n%s", strings.Join(m.test, " "), err, text)
		return ""
	}
	t.Logf("%s", text)
	failed := ""
	for line := range strings.Lines(text[i:]) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); ok {
			failed, _, _ = strings.Cut(rest, " ") // the innermost comes last
		}
	}
	return "by " + failed + ": " + m.why
}
