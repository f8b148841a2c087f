package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"eshost/host/store"
	"eshost/host/store/sqlite"
)

// TestUpgradeToPartitions brings a file up to date that has been used before there were partitions: its generations are
// rebuilt as another table.
func TestUpgradeToPartitions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "es.db")
	db := raw(t, file)
	for _, name := range []string{"0001_events_and_state", "0002_operations"} {
		sql, err := os.ReadFile("migration/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		execute(t, db, string(sql))
	}
	execute(t, db, `PRAGMA application_id = 0x65736874;
INSERT INTO migrations VALUES (1, 'a', 0), (2, 'b', 0);
INSERT INTO events (stream, version, type) VALUES ('a', 1, 'T'), ('a', 2, 'T');
INSERT INTO generations (plugin, number, position, epoch, owner, reason, condition_since, digest, created_at, updated_at, state, module, held_until, retired_at)
VALUES ('p', 1, 1, 4, NULL, '', 5, 'd1', 6, 7, 'retired', '', 0, 8), ('p', 2, 2, 9, 'h', 'why', 5, 'd2', 6, 7, 'live', 'm', 3, NULL), ('p', 3, 0, 0, NULL, '', 5, '', 6, 7, 'building', '', 0, NULL);
DELETE FROM generations WHERE number = 3;
INSERT INTO plugins (name, live_generation, created_at) VALUES ('p', 2, 0);
INSERT INTO documents VALUES (2, 'c', 'k', '1', 2);
INSERT INTO hosts VALUES ('h', 'host', '', 0, 0);`)

	if _, err := sqlite.Open(t.Context(), file, sqlite.Options{NoMigrate: true}); !errors.Is(err, store.ErrOldSchema) {
		t.Errorf("without a migration: %v", err)
	}
	s := open(t, file, sqlite.Options{})
	all, err := s.Generations(t.Context(), "p")
	if err != nil || len(all) != 2 {
		t.Fatalf("got %+v (%v)", all, err)
	}
	want := store.Generation{ID: 2, Plugin: "p", Number: 2, Position: 2, Epoch: 9, Root: 2, Partitions: 1, OrderBy: "stream"}
	live := all[0]
	if live.Generation != want || live.State != store.Live || live.Module != "m" || live.HeldUntil != 3 || live.Condition.Reason != "why" ||
		live.Digest != "d2" || live.Owner == nil || live.Owner.ID != "h" || live.CreatedAt.UnixMicro() != 6 {
		t.Errorf("the live generation is %+v", live)
	}
	if old := all[1]; old.ID != 1 || old.Root != 1 || old.State != store.Retired || old.RetiredAt.UnixMicro() != 8 || old.Epoch != 4 {
		t.Errorf("the retired generation is %+v", old)
	}
	if docs, err := s.Documents(t.Context(), 2, []store.DocumentKey{{Collection: "c", Key: "k"}}); err != nil || len(docs) != 1 {
		t.Errorf("documents are %v (%v)", docs, err)
	}
	hosts, err := s.Hosts(t.Context())
	if err != nil || len(hosts) != 1 || hosts[0].Weight != 1 || hosts[0].Declares != nil {
		t.Errorf("hosts are %+v (%v)", hosts, err)
	}
	built, err := s.BuildGeneration(t.Context(), store.Leader{Owner: "h", Held: store.Held{Generation: 2, Epoch: 9}}, "p", 0, "")
	if err != nil || built.ID <= 3 || built.Number != 3 {
		t.Errorf("the next generation is %+v (%v); the third had id 3", built, err)
	}
}
