package admin

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"eshost/host/event"
)

// params are a request's query. The first thing that is wrong is kept in err; reading goes on with zeros.
type params struct {
	values url.Values
	err    error
}

// query reads a request's query. One that is not known is refused: a slip must not be taken for a wish.
func query(r *http.Request, known ...string) *params {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &params{values: values}
	if err != nil {
		p.fail("percent-encode what is special in a query", "the query cannot be read: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			p.fail("known here: "+listed(known), "there is no parameter %q", shorten(name))
		}
		for _, v := range values[name] {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				p.fail("", "parameter %s must be UTF-8 without zero bytes", name)
			}
		}
	}
	return p
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (p *params) fail(hint, format string, args ...any) {
	if p.err == nil {
		p.err = badRequest(hint, format, args...)
	}
}

// text returns a parameter that occurs at most once.
func (p *params) text(name string) (string, bool) {
	v := p.values[name]
	if len(v) > 1 {
		p.fail("", "parameter %s occurs %d times", name, len(v))
	}
	if len(v) == 0 {
		return "", false
	}
	return v[0], true
}

// list returns what a parameter names, separated by commas or by repeating it.
func (p *params) list(name string) []string {
	var all []string
	for _, v := range p.values[name] {
		for part := range strings.SplitSeq(v, ",") {
			if part == "" {
				p.fail("", "parameter %s has an empty name", name)
			}
			all = append(all, part)
		}
	}
	return all
}

func (p *params) number(name string, fallback, least, most int64) int64 {
	text, ok := p.text(name)
	if !ok {
		return fallback
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		p.fail("", "parameter %s must be a whole number from %d to %d, is %q", name, least, most, shorten(text))
		return fallback
	}
	return n
}

func (p *params) position(name string, fallback event.Position) event.Position {
	return event.Position(p.number(name, int64(fallback), 0, 1<<63-1))
}

func (p *params) duration(name string, fallback, most time.Duration) time.Duration {
	text, ok := p.text(name)
	if !ok {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		p.fail("", "parameter %s must be a duration from 0s to %s such as 5s, is %q", name, most, shorten(text))
		return fallback
	}
	return d
}

// shorten bounds what of a client's text is repeated to it.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
