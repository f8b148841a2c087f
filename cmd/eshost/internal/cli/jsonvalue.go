package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// sameJSON reports whether two texts are the same JSON value: white space, the order of an object's members and the way
// a number is written do not count. Of a member that is there twice the last one counts.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, okX := jsonValue(a)
	y, okY := jsonValue(b)
	return okX && okY && sameValue(x, y)
}

func jsonValue(b []byte) (v any, ok bool) {
	in := json.NewDecoder(bytes.NewReader(b))
	in.UseNumber() // a float64 would take large integers for equal
	return v, in.Decode(&v) == nil
}

func sameValue(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && maps.EqualFunc(x, y, sameValue)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, sameValue)
	case json.Number:
		y, ok := b.(json.Number)
		return ok && canonicalNumber(string(x)) == canonicalNumber(string(y))
	}
	return a == b
}

// canonicalNumber writes a number as its digits without zeros at either end, and the power of ten they are multiplied
// with: 1, 1.0 and 10e-1 are 1e0.
func canonicalNumber(text string) string {
	digits, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	sign := ""
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		sign, digits = "-", rest
	}
	whole, fraction, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	if trimmed == "" {
		return "0"
	}
	power, err := strconv.ParseInt(exponent, 10, 32)
	if err != nil && exponent != "" {
		return text // out of all bounds
	}
	return sign + trimmed + "e" + strconv.FormatInt(power-int64(len(fraction))+int64(len(digits)-len(trimmed)), 10)
}
