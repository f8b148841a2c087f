package toolchain

import (
	"context"
	"regexp"
	"strconv"
	"strings"
)

const (
	installGo = "install Go 1.24 or later from https://go.dev/dl"
	leastGo   = 24 // 1.24 has go:wasmexport
)

var (
	goVersion   = regexp.MustCompile(`go1\.(\d+)`)
	newerGo     = regexp.MustCompile(`requires go >=|toolchain not available|download go1`)
	majorSuffix = regexp.MustCompile(`/v[0-9]+$`)
)

// A project is built as it stands, whatever workspace it lies in.
var goEnv = []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOWORK=off"}

func buildGo(ctx context.Context, r *runner) (string, error) {
	if err := checkGo(ctx, r); err != nil {
		return "", err
	}
	listed, err := r.ask(ctx, goEnv, "go", "list", "-e", "-f", "{{.ImportPath}}\n{{.Name}}", ".")
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil && newerGo.MatchString(err.Error()):
		return "", missing("install that Go from https://go.dev/dl, or let go download it: GOTOOLCHAIN=auto", "%s", err)
	}
	// Where list fails for another reason the compiler says better which.
	path, packageName, _ := strings.Cut(listed, "\n")
	if packageName != "" && packageName != "main" {
		return "", unfit("a plugin is a package main with an empty func main; see the SDK's README", "the package in %s is %s, not main", r.folder, packageName)
	}
	file, err := moduleFile(r.folder, majorSuffix.ReplaceAllString(path, ""))
	if err != nil {
		return "", err
	}
	return file, r.run(ctx, goEnv, "go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-w", "-o", file, ".")
}

// checkGo asks go in the project's folder, where it is the version that the project wants, if it can be had.
func checkGo(ctx context.Context, r *runner) error {
	if err := find("go", installGo); err != nil {
		return err
	}
	version, err := r.ask(ctx, []string{"GOWORK=off"}, "go", "env", "GOVERSION")
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return missing(installGo, "%s", err)
	}
	if m := goVersion.FindStringSubmatch(version); m != nil {
		if minor, err := strconv.Atoi(m[1]); err == nil && minor < leastGo {
			return missing(installGo, "%s is too old to build a plugin", version)
		}
	}
	return nil
}
