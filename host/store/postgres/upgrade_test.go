package postgres_test

import (
	"errors"
	"os"
	"testing"

	"eshost/host/store"
	"eshost/host/store/postgres"
	"eshost/test/pgtest"
)

// TestUpgradeToPartitions brings a schema up to date that has been used before there were partitions.
func TestUpgradeToPartitions(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	admin := connect(t, url)
	admin.exec(`CREATE SCHEMA eshost`)
	admin.exec(`CREATE TABLE eshost.migrations (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())`)
	admin.exec(`SET search_path = eshost, pg_temp`)
	for _, name := range []string{"0001_tables", "0002_operations"} {
		sql, err := os.ReadFile("migration/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := admin.conn.PgConn().Exec(t.Context(), string(sql)).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{
		`INSERT INTO migrations (version, name) VALUES (1, 'a'), (2, 'b')`,
		`INSERT INTO events (stream, version, type) VALUES ('a', 1, 'T'), ('a', 2, 'T')`,
		`INSERT INTO plugins (name) VALUES ('p')`,
		`INSERT INTO generations (plugin, number, position, epoch, owner, state, retired_at) VALUES ('p', 1, 1, 4, NULL, 'retired', now()), ('p', 2, 2, 9, 'h', 'live', NULL)`,
		`UPDATE plugins SET live_generation = 2`,
		`INSERT INTO hosts VALUES ('h', 'host', '', now(), now())`,
	} {
		admin.exec(sql)
	}
	if _, err := postgres.Open(t.Context(), url, postgres.Options{NoMigrate: true}); !errors.Is(err, store.ErrOldSchema) {
		t.Errorf("without a migration: %v", err)
	}
	s := opened(t, url)
	all, err := s.Generations(t.Context(), "p")
	if err != nil || len(all) != 2 {
		t.Fatalf("got %+v (%v)", all, err)
	}
	want := store.Generation{ID: 2, Plugin: "p", Number: 2, Position: 2, Epoch: 9, Root: 2, Partitions: 1, OrderBy: "stream"}
	if all[0].Generation != want || all[0].State != store.Live || all[0].Owner == nil || all[0].Owner.ID != "h" {
		t.Errorf("the live generation is %+v", all[0])
	}
	if old := all[1]; old.ID != 1 || old.Root != 1 || old.State != store.Retired || old.Epoch != 4 {
		t.Errorf("the retired generation is %+v", old)
	}
	hosts, err := s.Hosts(t.Context())
	if err != nil || len(hosts) != 1 || hosts[0].Weight != 1 || hosts[0].Declares != nil || hosts[0].DeclaredAt.IsZero() {
		t.Errorf("hosts are %+v (%v)", hosts, err)
	}
	if built, err := s.BuildGeneration(t.Context(), store.Leader{Owner: "h", Held: store.Held{Generation: 2, Epoch: 9}}, "p", 0, ""); err != nil || built.Number != 3 || built.Root != built.ID {
		t.Errorf("the next generation is %+v (%v)", built, err)
	}
}
