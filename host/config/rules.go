package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"eshost/abi"
	"eshost/host/event"
	"eshost/host/store/postgres"
)

// rule says what a key's value must be, in words and in code.
type rule[T any] struct {
	want string // follows "must be "
	// parse answers errUnfit for a value that is not what want says, or an error with a sentence of its own.
	parse func(v any) (T, error)
}

var errUnfit = errors.New("unfit")

func text(want string, fits func(string) bool) rule[string] {
	return rule[string]{want, func(v any) (string, error) {
		s, ok := v.(string)
		if !ok || !fits(s) {
			return "", errUnfit
		}
		return s, nil
	}}
}

func oneOf(words ...string) rule[string] {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return text(strings.Join(quoted, " or "), func(s string) bool { return slices.Contains(words, s) })
}

func logLevel() rule[slog.Level] {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	return rule[slog.Level]{`"debug", "info", "warn" or "error"`, func(v any) (slog.Level, error) {
		s, _ := v.(string)
		level, ok := levels[s]
		if !ok {
			return 0, errUnfit
		}
		return level, nil
	}}
}

func whole(least, most int64) rule[int] {
	return rule[int]{fmt.Sprintf("a whole number from %d to %d", least, most), func(v any) (int, error) {
		n, ok := v.(int64)
		if !ok || n < least || n > most {
			return 0, errUnfit
		}
		return int(n), nil
	}}
}

// weight is a share beside others'.
func weight() rule[float64] {
	const least, most = 0.01, 1000
	return rule[float64]{fmt.Sprintf("a number from %g to %d such as 2 or 0.5", least, most), func(v any) (float64, error) {
		w, ok := v.(float64)
		if n, whole := v.(int64); whole {
			w, ok = float64(n), true
		}
		if !ok || !(w >= least && w <= most) {
			return 0, errUnfit
		}
		return w, nil
	}}
}

func duration(least, most time.Duration, example string) rule[time.Duration] {
	want := fmt.Sprintf("a duration from %s to %s such as %q", shortDuration(least), shortDuration(most), example)
	return rule[time.Duration]{want, func(v any) (time.Duration, error) {
		s, _ := v.(string)
		d, err := time.ParseDuration(s)
		if err != nil || d < least || d > most {
			return 0, errUnfit
		}
		return d, nil
	}}
}

// shortDuration writes 1h instead of 1h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// backoff is "FIRST..LONGEST".
func backoff() rule[[2]time.Duration] {
	const most = 24 * time.Hour
	return rule[[2]time.Duration]{`the first and the longest pause, from 1ms to 24h, such as "100ms..30s"`, func(v any) ([2]time.Duration, error) {
		s, _ := v.(string)
		from, to, _ := strings.Cut(s, "..")
		first, err1 := time.ParseDuration(from)
		longest, err2 := time.ParseDuration(to)
		if err1 != nil || err2 != nil || first < time.Millisecond || longest < first || longest > most {
			return [2]time.Duration{}, errUnfit
		}
		return [2]time.Duration{first, longest}, nil
	}}
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,18})(B|KiB|MiB|GiB)$`)

func size(least, most int64) rule[int64] {
	want := fmt.Sprintf(`a size from %s to %s such as "32MiB"`, showSize(least), showSize(most))
	return rule[int64]{want, func(v any) (int64, error) {
		s, _ := v.(string)
		m := sizePattern.FindStringSubmatch(s)
		if m == nil {
			return 0, errUnfit
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		unit := map[string]int64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[2]]
		if err != nil || n > math.MaxInt64/unit || n*unit < least || n*unit > most {
			return 0, errUnfit
		}
		return n * unit, nil
	}}
}

// memory is what limits.memory may be.
func memory() rule[int64] { return size(wasmPage, 4<<30) }

// ParseMemory reads what limits.memory may be, such as "32MiB", in bytes.
func ParseMemory(text string) (int64, error) {
	r := memory()
	n, err := r.parse(text)
	if err != nil {
		return 0, fmt.Errorf("must be %s, is %q", r.want, text)
	}
	return n, nil
}

func showSize(n int64) string {
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return fmt.Sprint(n/u.bytes) + u.name
		}
	}
	return fmt.Sprint(n) + "B"
}

// path completes a relative path with the folder.
func path(folder, want string) rule[string] {
	return rule[string]{want, func(v any) (string, error) {
		s, ok := v.(string)
		if !ok || s == "" || strings.ContainsRune(s, 0) {
			return "", errUnfit
		}
		if !filepath.IsAbs(s) {
			s = filepath.Join(folder, s)
		}
		return s, nil
	}}
}

var digestPattern = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

// digest is a module's SHA-256, in small letters.
func digest() rule[string] {
	return rule[string]{`the module's SHA-256 as 64 hex digits; eshost check MODULE prints it`, func(v any) (string, error) {
		s, _ := v.(string)
		s = strings.TrimPrefix(s, "sha256:")
		if !digestPattern.MatchString(s) {
			return "", errUnfit
		}
		return strings.ToLower(s), nil
	}}
}

// orOff is the rule, or "off" or "" for an empty value.
func orOff(r rule[string]) rule[string] {
	return rule[string]{r.want, func(v any) (string, error) {
		if v == "off" || v == "" {
			return "", nil
		}
		return r.parse(v)
	}}
}

const sqliteScheme = "sqlite:"

// storeURL never shows what is there: it may hold a password.
func storeURL(folder string) rule[string] {
	return rule[string]{`"sqlite:PATH" or "postgres://USER:PASSWORD@HOST/DATABASE"`, func(v any) (string, error) {
		s, ok := v.(string)
		if !ok {
			return "", errUnfit
		}
		return ResolveStoreURL(s, folder)
	}}
}

// ResolveStoreURL checks a store's URL and completes a relative SQLite path with the folder. Its errors
// do not quote the URL.
func ResolveStoreURL(url, folder string) (string, error) {
	scheme, rest, _ := strings.Cut(url, ":")
	switch scheme {
	case "postgres", "postgresql":
		if strings.HasPrefix(rest, "//") {
			return url, postgres.CheckURL(url)
		}
	case "sqlite":
		// Both sqlite:PATH and sqlite://PATH are in use.
		rest = strings.TrimPrefix(rest, "//")
		if rest == "" || strings.ContainsRune(rest, 0) || strings.HasPrefix(rest, ":memory:") {
			return "", errors.New("must name a file, such as \"sqlite:eshost.db\"")
		}
		if !filepath.IsAbs(rest) {
			rest = filepath.Join(folder, rest)
		}
		return sqliteScheme + rest, nil
	}
	return "", errors.New(`must be "sqlite:PATH" or "postgres://USER:PASSWORD@HOST/DATABASE"`)
}

// eventTypes is the list of types a plugin wants.
func eventTypes() rule[[]string] {
	return rule[[]string]{`a list of event types such as ["Deposited"]; leave it out for all`, func(v any) ([]string, error) {
		types, ok := stringList(v)
		if !ok || len(types) == 0 {
			return nil, errUnfit
		}
		for i, name := range types {
			if name == "" || slices.Contains(types[:i], name) {
				return nil, fmt.Errorf("must be a list of event types, each once, has %q in place %d", name, i+1)
			}
		}
		return types, nil
	}}
}

func grants() rule[[]string] {
	known := []string{abi.GrantState, abi.GrantLog, abi.GrantEmit}
	return rule[[]string]{`a list of grants such as ["state", "log"]`, func(v any) ([]string, error) {
		list, ok := stringList(v)
		if !ok {
			return nil, errUnfit
		}
		for _, g := range list {
			if g == "http" {
				return nil, errors.New(`"http" cannot be granted: calls to the outside are not in this version`)
			}
			if !slices.Contains(known, g) {
				return nil, fmt.Errorf("%q cannot be granted, known grants are %s", g, strings.Join(known, ", "))
			}
		}
		slices.Sort(list)
		return slices.Compact(list), nil
	}}
}

func stringList(v any) ([]string, bool) {
	items, ok := v.([]any)
	list := make([]string, 0, len(items))
	for _, item := range items {
		s, isString := item.(string)
		ok = ok && isString
		list = append(list, s)
	}
	return list, ok
}

func orderBy() rule[OrderBy] {
	return rule[OrderBy]{`"stream", "all" or "metadata.NAME"`, func(v any) (OrderBy, error) {
		s, _ := v.(string)
		o := OrderBy(s)
		if name, ok := o.Metadata(); o != OrderByStream && o != OrderByAll && (!ok || name == "" || !utf8.ValidString(name)) {
			return "", errUnfit
		}
		return o, nil
	}}
}

// start takes "beginning", "end", a position as a number or text, and a time as TOML's or text.
func start() rule[Start] {
	return rule[Start]{`"beginning", "end", a position from 1, or a time such as "2026-01-31T00:00:00Z"`, func(v any) (Start, error) {
		switch v := v.(type) {
		case int64:
			return startAtPosition(v)
		case time.Time:
			// A local date and time is not a moment: the library marks it by its zone's name.
			if strings.HasSuffix(v.Location().String(), "-local") {
				return Start{}, errUnfit
			}
			return Start{At: StartAtTime, Time: v.UTC()}, nil
		case string:
			return parseStart(v)
		}
		return Start{}, errUnfit
	}}
}

func parseStart(s string) (Start, error) {
	switch s {
	case "beginning":
		return Start{At: StartAtBeginning}, nil
	case "end":
		return Start{At: StartAtEnd}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return startAtPosition(n)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return Start{}, errUnfit
	}
	return Start{At: StartAtTime, Time: t.UTC()}, nil
}

func startAtPosition(n int64) (Start, error) {
	if n < 1 {
		return Start{}, errUnfit
	}
	return Start{At: StartAtPosition, Position: event.Position(n)}, nil
}

// scalar is a value of [plugins.NAME.config], as the text the module is given.
func scalar() rule[string] {
	return rule[string]{"text, a number or a boolean", func(v any) (string, error) {
		switch v := v.(type) {
		case string:
			return v, nil
		case int64:
			return strconv.FormatInt(v, 10), nil
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64), nil
		case bool:
			return strconv.FormatBool(v), nil
		}
		return "", errUnfit
	}}
}

// show writes a value as the file has it, shortened.
func show(v any) string {
	switch v := v.(type) {
	case string:
		const most = 60
		if len(v) > most {
			v = strings.ToValidUTF8(v[:most], "") + "…"
		}
		return strconv.Quote(v)
	case time.Time:
		if strings.HasSuffix(v.Location().String(), "-local") {
			return "a time without a zone"
		}
		return v.Format(time.RFC3339Nano)
	case []any:
		if len(v) == 0 {
			return "an empty list"
		}
		return "a list"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	}
	return fmt.Sprint(v)
}
