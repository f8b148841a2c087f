package sqlite_test

import (
	"database/sql"
	"testing"

	"eshost/host/event"
	"eshost/host/store"
	"eshost/host/store/sqlite"
	"eshost/host/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Exercise(t, func(t *testing.T) storetest.Database {
		file := t.TempDir() + "/es.db"
		open := func(t *testing.T) store.Store {
			t.Helper()
			s, err := sqlite.Open(t.Context(), file, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		return storetest.Database{Open: open, MakeHole: func(t *testing.T) { makeHole(t, file) },
			ReadModel: func(t *testing.T, plugin string) []string { return readModel(t, file, plugin) },
			SetBack: func(t *testing.T, to event.Position) {
				change(t, file, `DELETE FROM events WHERE position > ?; UPDATE sqlite_sequence SET seq = ? WHERE name = 'events'`, int64(to), int64(to))
			},
			MoveCheckpoint: func(t *testing.T, plugin string, to event.Position) {
				change(t, file, `UPDATE generations SET position = ? WHERE plugin = ?`, int64(to), plugin)
			}}
	})
}

// readModel asks the view, as another program would.
func readModel(t *testing.T, file, plugin string) []string {
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT key FROM read_models WHERE plugin = ? ORDER BY key`, plugin)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var keys []string
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return keys
}

// makeHole draws a position and gives it up, in another process's place.
func makeHole(t *testing.T, file string) {
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(20000)&_txlock=immediate")
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close()
	tx, err := db.Begin()
	if err == nil {
		_, err = tx.Exec(`INSERT INTO events (stream, version, type) VALUES ('hole', 1, 'Hole'); DELETE FROM events WHERE stream = 'hole'`)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Errorf("make a hole: %v", err)
	}
}

func change(t *testing.T, file, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement, args...); err != nil {
		t.Fatal(err)
	}
}
