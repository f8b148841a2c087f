package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// document is a parsed file that knows on which line each of its keys is.
type document struct {
	file     string
	text     string
	meta     toml.MetaData
	getenv   func(string) string
	mistakes []Mistake
}

// table is one table of the document. Its keys are read one by one; close reports those that were not.
type table struct {
	doc    *document
	key    toml.Key
	values map[string]toml.Primitive
	known  []string
	// lines has the lines of an array's table, which the library does not tell apart from the others'.
	lines map[string]int
}

func (d *document) mistake(line int, key toml.Key, format string, args ...any) {
	if len(d.mistakes) < maxMistakes {
		d.mistakes = append(d.mistakes, Mistake{File: d.file, Line: line, Key: key.String(), Text: fmt.Sprintf(format, args...)})
	}
}

// capture takes a value out of the decoder as it is. Refusing it makes the decoder tell its line,
// which nothing else in the library's interface does.
type capture struct {
	value  any
	refuse bool
}

var errLocate = errors.New("locate")

// UnmarshalTOML implements toml.Unmarshaler.
func (c *capture) UnmarshalTOML(v any) error {
	c.value = v
	if c.refuse {
		return errLocate
	}
	return nil
}

func (d *document) value(p toml.Primitive) any {
	var c capture
	if err := d.meta.PrimitiveDecode(p, &c); err != nil {
		return nil
	}
	return c.value
}

// line returns where the key is. A table that only its subtables announce is where the first of them is.
func (d *document) line(key toml.Key, p toml.Primitive) int {
	var at toml.ParseError
	if err := d.meta.PrimitiveDecode(p, &capture{refuse: true}); errors.As(err, &at) && at.Position.Line > 0 {
		return at.Position.Line
	}
	for _, k := range d.meta.Keys() {
		if len(k) <= len(key) || !slices.Equal(k[:len(key)], key) {
			continue
		}
		if child, ok := d.children(p)[k[len(key)]]; ok {
			return d.line(k[:len(key)+1], child)
		}
	}
	return 1
}

// children returns the members of a table, or nil if p is none.
func (d *document) children(p toml.Primitive) map[string]toml.Primitive {
	if _, ok := d.value(p).(map[string]any); !ok {
		return nil
	}
	members := make(map[string]toml.Primitive)
	if err := d.meta.PrimitiveDecode(p, &members); err != nil {
		return nil
	}
	return members
}

// order returns the names of a table's members as they come in the file.
func (t *table) order() []string {
	var names []string
	for _, k := range t.doc.meta.Keys() {
		if len(k) <= len(t.key) || !slices.Equal(k[:len(t.key)], t.key) {
			continue
		}
		if name := k[len(t.key)]; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (t *table) path(name string) toml.Key {
	if name == "" {
		return t.key
	}
	return append(slices.Clip(slices.Clone(t.key)), name)
}

// mistake reports what is wrong with one key of the table.
func (t *table) mistake(name, format string, args ...any) {
	key := t.path(name)
	line, ok := t.lines[name]
	if !ok {
		line = t.doc.line(key, t.values[name])
	}
	t.doc.mistake(line, key, format, args...)
}

// table returns a subtable, empty if the file has none, and false if the key is something else.
func (t *table) table(name string) (*table, bool) {
	t.known = append(t.known, name)
	sub := &table{doc: t.doc, key: t.path(name)}
	p, ok := t.values[name]
	if !ok {
		return sub, true
	}
	v := t.doc.value(p)
	if _, ok := v.(map[string]any); !ok {
		t.mistake(name, "must be a table, written [%s], is %s", sub.key, show(v))
		return sub, false
	}
	sub.values = t.doc.children(p)
	return sub, true
}

// read returns a key's value by its rule, or fallback if the file has no such key or a wrong one.
func read[T any](t *table, name string, fallback T, r rule[T]) T {
	t.known = append(t.known, name)
	p, ok := t.values[name]
	if !ok {
		return fallback
	}
	raw := t.doc.value(p)
	v, err := expandAll(raw, t.doc.getenv)
	if err != nil {
		t.mistake(name, "%s", err)
		return fallback
	}
	parsed, err := r.parse(v)
	switch {
	case errors.Is(err, errUnfit):
		// The text of the file is shown, not what its variables stand for: that may be a secret.
		t.mistake(name, "must be %s, is %s", r.want, show(raw))
		return fallback
	case err != nil:
		t.mistake(name, "%s", err)
		return fallback
	}
	return parsed
}

// close reports the keys that nobody asked for.
func (t *table) close() {
	for _, name := range t.order() {
		if _, here := t.values[name]; !here || slices.Contains(t.known, name) {
			continue // not here: of another table of the same array
		}
		if near := Nearest(name, t.known); near != "" {
			t.mistake(name, "unknown key, did you mean %q?", near)
		} else {
			slices.Sort(t.known)
			t.mistake(name, "unknown key, known here: %s", strings.Join(t.known, ", "))
		}
	}
}

// Nearest returns the word that name is most likely a slip of, or "".
func Nearest(name string, words []string) string {
	best, least := "", 1+min(2, len(name)/2)
	for _, w := range words {
		if d := editDistance(strings.ToLower(name), w); d < least {
			best, least = w, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
