package cli

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"eshost/abi"
)

func (a *app) versionCommand() *cobra.Command {
	c := a.command(&cobra.Command{
		Use:               "version",
		Short:             "Print the version, and the ABI versions that modules may speak",
		Example:           "  eshost version --json",
		ValidArgsFunction: completeNothing,
	}, func(context.Context, []string) error { return a.version() })
	a.jsonFlag(c)
	return c
}

// build is what version prints as JSON.
type build struct {
	Version  string   `json:"version"`
	Commit   string   `json:"commit,omitempty"`
	Modified bool     `json:"modified,omitempty"` // the commit and changes to it
	ABI      []string `json:"abi"`
	Go       string   `json:"go"`
	OS       string   `json:"os"`
	Arch     string   `json:"arch"`
}

func (a *app) version() error {
	b := readBuild()
	if a.json {
		return writeJSON(a.out, b)
	}
	commit := ""
	if b.Commit != "" {
		commit = " " + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			commit += " with changes"
		}
	}
	_, err := fmt.Fprintf(a.out, "eshost %s%s (%s, %s %s/%s)\n", b.Version, commit, b.ABI[0], b.Go, b.OS, b.Arch)
	return err
}

func readBuild() build {
	b := build{Version: "unknown", ABI: []string{abi.Module}, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
