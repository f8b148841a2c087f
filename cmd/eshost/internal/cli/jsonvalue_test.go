package cli

import (
	"strings"
	"testing"
)

func TestSameJSON(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{`{"a":1,"b":[true,null,"x"]}`, ` { "b" : [ true , null , "x" ] , "a" : 1 } `},
		{"1", "1.0"},
		{"1", "10e-1"},
		{"1200", "1.2E3"},
		{"-0.050", "-5e-2"},
		{"0", "-0.000e7"},
		{`"\u00e9"`, `"é"`},
		{`{"a":1,"a":2}`, `{"a":2}`},
		{"1e99999999999", "1e99999999999"},
	} {
		if !sameJSON([]byte(same[0]), []byte(same[1])) || !sameJSON([]byte(same[1]), []byte(same[0])) {
			t.Errorf("%s and %s are taken for different", same[0], same[1])
		}
	}
	for _, other := range [][2]string{
		{"9223372036854775807", "9223372036854775806"},
		{"0.1", "0.10000000000000001"},
		{"1", "-1"},
		{"1", "10"},
		{"1e2", "1e3"},
		{"1", `"1"`},
		{"[1,2]", "[2,1]"},
		{"[1]", "[1,1]"},
		{`{"a":null}`, `{}`},
		{"null", "false"},
		{"", "null"},
		{"1e99999999999", "1e99999999998"},
	} {
		if sameJSON([]byte(other[0]), []byte(other[1])) {
			t.Errorf("%s and %s are taken for equal", other[0], other[1])
		}
	}
}

func FuzzParseExpected(f *testing.F) {
	f.Add(`{"document":{"collection":"c","key":"k","data":{"a":1e5}}}`)
	f.Add(`{"emitted":{"after":1,"stream":"s","type":"T","data_base64":"AA=="}}` + "\n" + `{"failure":{"position":1,"kind":"trap"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		x, err := parseExpected("x", []byte(text))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x:") {
				t.Errorf("no line in %v", err)
			}
			return
		}
		if d := x.differences(x); len(d) > 0 {
			t.Errorf("%q differs from itself: %v", text, d)
		}
	})
}
