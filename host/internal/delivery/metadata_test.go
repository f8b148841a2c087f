package delivery

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzTopLevel finds what encoding/json finds, and survives what is no JSON.
func FuzzTopLevel(f *testing.F) {
	for _, object := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"b":{"a":1},"a":"x"}`, `{"a":[1,{"a":2}],"b":","}`, ` {"b" : "}" , "a" : null } `,
		`{"\u0061":"\u0041\"\\"}`, `{"a":1,"a":2}`, `{"a":1,"a":}`, `{"a"`, `{"a":`, `{"a":"`, `{"a":"\`, `{"a":1`, `{"a":1,`, `{"a" 1}`, `[1]`, `"a"`, ``, `{a:1}`, `{"a":[1}`, `{"a":-1.5e3,"c":true}`,
	} {
		f.Add([]byte(object), "a")
	}
	f.Fuzz(func(t *testing.T, object []byte, name string) {
		got := topLevel(object, name)
		var fields map[string]json.RawMessage
		if json.Unmarshal(object, &fields) != nil || !utf8.Valid(object) || !utf8.ValidString(name) {
			return // it has only to come back
		}
		if want := fields[name]; !bytes.Equal(got, want) {
			t.Errorf("%q in %s is %q, want %q", name, object, got, want)
		}
	})
}
