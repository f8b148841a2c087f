package plugin_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"eshost/host/internal/plugin"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                    "",
		"plain":               "plain",
		"größer 日本":           "größer 日本",
		"a\nb\tc\r":           `a\nb\tc\r`,
		"\x1b[31m\x00\x7f":    `\x1b[31m\x00\x7f`,
		"bad \xc3 and \xff":   `bad \xc3 and \xff`,
		"over\u202eride":      `over\u202eride`,
		"line\u2028separator": `line\u2028separator`,
		"zero\u200bwidth":     `zero\u200bwidth`,
	} {
		if got := plugin.Printable(text, 100); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := plugin.Printable("ääää", 5); got != "ää…" {
		t.Errorf("cut in a character: %q", got)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\n\xff\u202e", 3)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit &= 63
		got := plugin.Printable(text, limit)
		if !utf8.ValidString(got) || len(got) > 10*limit+len("…") || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) {
			t.Errorf("%q became %q", text, got)
		}
		if plugin.Printable(got, 1<<20) != got {
			t.Errorf("%q changes again", got)
		}
	})
}

func TestFunctionName(t *testing.T) {
	t.Parallel()
	for frame, want := range map[string]string{
		".handle(i32) i32":                     ".handle",
		"mod.f(i32,i32) (i32,i64)":             "mod.f",
		".main.(*Account).Apply(i32)":          ".main.(*Account).Apply",
		".f()":                                 ".f",
		".f() (i32,i64)":                       ".f",
		"odd":                                  "odd",
		"... maybe followed by omitted frames": "... maybe followed by omitted frames",
	} {
		if got := plugin.FunctionName(frame); got != want {
			t.Errorf("%q became %q, want %q", frame, got, want)
		}
	}
}
