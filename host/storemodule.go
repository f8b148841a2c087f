package host

import (
	"context"
	"fmt"

	"eshost/host/store"
)

// StoreModule keeps the module in a file in the store, where every host finds it by its digest, which it returns.
func StoreModule(ctx context.Context, s store.State, file string) (digest string, err error) {
	wasm, _, err := readModule(file)
	if err != nil {
		return "", fmt.Errorf("read the module: %w", err)
	}
	digest = digestOf(wasm)
	return digest, s.PutModule(ctx, digest, wasm)
}
