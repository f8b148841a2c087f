package host

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"eshost/host/store"
	"eshost/host/store/postgres"
	"eshost/host/store/sqlite"
)

// OpenStore opens the database that a store URL names: sqlite:PATH or postgres://…. It makes what is
// missing there. name tells this process's connections apart for people.
func OpenStore(ctx context.Context, storeURL, name string) (store.Store, error) {
	return openStore(ctx, storeURL, sqlite.Options{}, postgres.Options{Name: name})
}

// OpenExistingStore opens a database that has everything this version needs. It fails with
// store.ErrNoSchema or store.ErrOldSchema where OpenStore would make or migrate tables.
func OpenExistingStore(ctx context.Context, storeURL, name string) (store.Store, error) {
	return openStore(ctx, storeURL, sqlite.Options{MustExist: true, NoMigrate: true}, postgres.Options{Name: name, NoMigrate: true})
}

func openStore(ctx context.Context, storeURL string, lite sqlite.Options, pg postgres.Options) (store.Store, error) {
	scheme, rest, _ := strings.Cut(storeURL, ":")
	var s store.Store
	var err error
	switch scheme {
	case "sqlite":
		s, err = sqlite.Open(ctx, strings.TrimPrefix(rest, "//"), lite)
	case "postgres", "postgresql":
		s, err = postgres.Open(ctx, storeURL, pg)
	default:
		return nil, storeError("store "+scheme, errors.New("no such kind of store"), "use sqlite:PATH or postgres://USER@HOST/DATABASE")
	}
	if err != nil {
		return nil, storeError("store "+withoutSecrets(storeURL), err, openHint(err))
	}
	return s, nil
}

func openHint(err error) string {
	switch {
	case errors.Is(err, store.ErrNoSchema):
		return "eshost run or eshost append makes them"
	case errors.Is(err, store.ErrOldSchema):
		return "run eshost run with this version first: it migrates the database"
	case errors.Is(err, store.ErrUnavailable):
		return "check that the database runs and that the store URL is right"
	case errors.Is(err, store.ErrSchema):
		return "point the store URL at a database of eshost's own, or use an eshost as new as the one that migrated it"
	}
	return ""
}

// withoutSecrets shows a store URL without user, password and options.
func withoutSecrets(storeURL string) string {
	u, err := url.Parse(storeURL)
	if err != nil || u.Host == "" {
		scheme, rest, _ := strings.Cut(storeURL, ":")
		if strings.HasPrefix(scheme, "postgres") {
			return scheme
		}
		return fmt.Sprintf("%s:%s", scheme, rest)
	}
	return fmt.Sprintf("%s://%s%s", u.Scheme, u.Host, u.Path)
}
