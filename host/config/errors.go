package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxMistakes bounds how many mistakes of one file are reported.
const maxMistakes = 100

// Error is everything that is wrong with one file.
type Error struct {
	// Mistakes is in line order and never empty.
	Mistakes []Mistake
}

// Mistake is one thing that is wrong with a file.
type Mistake struct {
	File string
	Line int    // from 1
	Key  string // dotted; empty where the file is not even TOML
	Text string // what would be right, and what is there
}

func (m Mistake) Error() string {
	if m.Key == "" {
		return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", m.File, m.Line, m.Key, m.Text)
}

// Error lists the mistakes, one a line.
func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the mistakes.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Mistakes))
	for i, m := range e.Mistakes {
		errs[i] = m
	}
	return errs
}

// Hint says what to do next.
func (e *Error) Hint() string {
	return "every key and its default is explained in the hosts.toml that comes with eshost"
}

// byPlugin sorts the mistakes of plugins' sections from the rest.
func byPlugin(mistakes []Mistake) (wrong map[string]error, rest []Mistake) {
	wrong = make(map[string]error)
	for _, m := range mistakes {
		inside, ok := strings.CutPrefix(m.Key, "plugins.")
		name, _, _ := strings.Cut(inside, ".")
		if !ok || !pluginName.MatchString(name) {
			rest = append(rest, m)
			continue
		}
		e, _ := wrong[name].(*Error)
		if e == nil {
			e = &Error{}
			wrong[name] = e
		}
		e.Mistakes = append(e.Mistakes, m)
	}
	return wrong, rest
}

func sortMistakes(ms []Mistake) {
	slices.SortStableFunc(ms, func(a, b Mistake) int { return cmp.Compare(a.Line, b.Line) })
}
