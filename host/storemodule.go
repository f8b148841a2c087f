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

// ReadModule reads a module's file. What is in it is checked by who loads it.
func ReadModule(file string) ([]byte, error) {
	wasm, _, err := readModule(file)
	if err != nil {
		return nil, &Error{Subject: "module", Err: err, hint: "name the path of a .wasm file"}
	}
	return wasm, nil
}
