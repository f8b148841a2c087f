package scaffold

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Languages are those that a project can be written in.
func Languages() []string { return []string{"assemblyscript", "rust", "go"} }

// DisplayName is a language's name as its users write it.
func DisplayName(language string) string {
	switch language {
	case "assemblyscript":
		return "AssemblyScript"
	case "rust":
		return "Rust"
	case "go":
		return "Go"
	}
	return language
}

// ParseLanguage returns the language that goes by that name.
func ParseLanguage(name string) (language string, ok bool) {
	switch name = strings.ToLower(name); name {
	case "as", "ts", "typescript":
		name = "assemblyscript"
	case "rs":
		name = "rust"
	case "golang":
		name = "go"
	}
	return name, slices.Contains(Languages(), name)
}

// validName is what a hosts.toml takes as a plugin's name and each language's tools as a package's.
var validName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// reserved matches what npm keeps for itself, and what Windows does, for which Go refuses it too.
var reserved = regexp.MustCompile(`^(node_modules|con|prn|aux|nul|com[0-9]|lpt[0-9])$`)

// CheckName says what is wrong with a project's name.
func CheckName(name string) error {
	switch {
	case !validName.MatchString(name):
		return fmt.Errorf("a project's name has 1 to 63 characters of a-z, 0-9, _ and -, and begins with a letter, is %q", name)
	case name == "eshost":
		return errors.New("a project cannot be called eshost: the SDK in it is")
	case reserved.MatchString(name):
		return fmt.Errorf("a project cannot be called %s: to some language's tools that is something else", name)
	}
	return nil
}

// SimilarName returns a valid name that looks like an invalid one, or "".
func SimilarName(name string) string {
	name = strings.Trim(unfit.ReplaceAllString(strings.ToLower(name), "-"), "-_")
	name = strings.TrimLeft(name, "0123456789-_")
	if CheckName(name) != nil {
		return ""
	}
	return name
}

var unfit = regexp.MustCompile(`[^a-z0-9_-]+`)
