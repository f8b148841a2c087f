package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"eshost/host/event"
	"eshost/host/store"
)

const (
	defaultListed = 100
	mostListed    = 1000
	// scanPage and mostScanPage are how many documents the first statement lists, which may be large, and any.
	scanPage     = 32
	mostScanPage = 1000
)

// documents lists a collection in the order of its keys: a page of it, what the page was found among, and
// where the next one begins.
func (s *server) documents(w http.ResponseWriter, r *http.Request) error {
	p := query(r, "after", "timeout", "prefix", "limit", "cursor", "fields", "where")
	l := listing{server: s, fields: p.list("fields"), scan: store.ScanOptions{Collection: r.PathValue("collection")}}
	l.scan.Prefix, _ = p.text("prefix")
	l.limit = int(p.number("limit", defaultListed, 1, mostListed))
	if text, ok := p.text("cursor"); ok {
		key, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || !validName(string(key)) {
			p.fail("take the cursor from the next of the page before", "parameter cursor is none of this listing's")
		}
		l.scan.After = string(key)
	}
	for _, text := range p.values["where"] {
		c, err := parseWhere(text)
		if err != nil {
			p.fail("such as where=owner:Ada or where=balance:100", "%v", err)
		}
		l.where = append(l.where, c)
	}
	gen, err := s.readModel(w, r, p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	if validName(l.scan.Collection) {
		if err := l.run(ctx, gen); err != nil {
			return err
		}
	}
	return sendTagged(w, r, l.page(w.Header(), r.URL))
}

// listing is one page in the making.
type listing struct {
	*server
	fields []string
	where  []equality
	limit  int
	scan   store.ScanOptions

	found   bytes.Buffer // JSON objects, with commas between
	count   int
	scanned int
	bytes   int
	more    bool // there may be documents after scan.After
}

// run looks at documents until the page is full, there are no more, or enough have been looked at.
func (l *listing) run(ctx context.Context, gen store.Generation) error {
	for page := min(scanPage, l.limit); ; page = l.nextPage() {
		l.scan.Limit = page
		docs, err := l.o.Store.Scan(ctx, gen.ID, l.scan)
		if err != nil {
			return fmt.Errorf("list documents of %s: %w", gen.Plugin, err)
		}
		for i := range docs {
			l.look(&docs[i])
			if l.full() {
				// Whether there is another one only the next page would tell, unless this was the last of all.
				l.more = i < len(docs)-1 || len(docs) == page
				return nil
			}
		}
		if len(docs) < page {
			return nil
		}
	}
}

func (l *listing) look(d *event.Document) {
	l.scan.After = d.Key
	l.scanned++
	l.bytes += len(d.Data) + len(d.Key)
	for _, c := range l.where {
		if !c.holds(d.Data) {
			return
		}
	}
	data := []byte(d.Data)
	if len(l.fields) > 0 {
		data = only(data, l.fields)
	}
	if l.count++; l.count > 1 {
		l.found.WriteByte(',')
	}
	l.found.WriteString(`{"key":`)
	l.found.Write(quote(d.Key))
	l.found.WriteString(`,"data":`)
	l.found.Write(data)
	l.found.WriteByte('}')
}

// full reports whether the page ends here. Where nothing is filtered, what is found is what is looked at.
func (l *listing) full() bool {
	return l.count == l.limit || l.scanned >= l.o.Limits.Scanned || l.found.Len() >= l.o.Limits.Listed || l.bytes >= 4*l.o.Limits.Listed
}

// nextPage is how many documents to list next, by how large those before were.
func (l *listing) nextPage() int {
	each := l.bytes/max(1, l.scanned) + 1
	n := min(mostScanPage, l.o.Limits.Listed/each, l.o.Limits.Scanned-l.scanned)
	if len(l.where) == 0 {
		n = min(n, l.limit-l.count)
	}
	return max(1, n)
}

// page writes the answer, and where the next page is.
func (l *listing) page(h http.Header, u *url.URL) []byte {
	var b bytes.Buffer
	b.WriteString(`{"documents":[`)
	b.Write(l.found.Bytes())
	b.WriteString(`],"scanned":` + strconv.Itoa(l.scanned))
	if l.more {
		next := nextLink(u, "cursor", base64.RawURLEncoding.EncodeToString([]byte(l.scan.After)))
		h.Set("Link", "<"+next+`>; rel="next"`)
		b.WriteString(`,"next":`)
		b.Write(quote(next))
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// nextLink is the request's own path and query with one parameter changed. What has been waited for once
// need not be waited for again.
func nextLink(u *url.URL, name, value string) string {
	q := u.Query()
	q.Set(name, value)
	if name == "cursor" {
		q.Del("after")
		q.Del("timeout")
	}
	return u.EscapedPath() + "?" + q.Encode()
}

// equality is a condition on a top-level field.
type equality struct {
	field string
	text  string
	// scalar is the text as JSON: what it also stands for, if it is a number, true, false, null or quoted.
	scalar json.RawMessage
}

func parseWhere(text string) (equality, error) {
	field, value, ok := strings.Cut(text, ":")
	if !ok || field == "" {
		return equality{}, fmt.Errorf("parameter where must be FIELD:VALUE, is %q", shorten(text))
	}
	c := equality{field: field, text: value}
	if json.Valid([]byte(value)) {
		c.scalar = json.RawMessage(strings.TrimSpace(value))
	}
	return c, nil
}

// holds reports whether a document's field is a text that is the value, or a number, true, false or null
// that the value stands for.
func (c equality) holds(data []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return false
	}
	raw, ok := members[c.field]
	if !ok {
		return false
	}
	raw = bytes.TrimSpace(raw)
	if raw[0] == '"' {
		var text, quoted string
		if json.Unmarshal(raw, &text) != nil {
			return false
		}
		isQuoted := len(c.scalar) > 0 && c.scalar[0] == '"' && json.Unmarshal(c.scalar, &quoted) == nil
		return !isQuoted && text == c.text || isQuoted && text == quoted
	}
	return len(c.scalar) > 0 && (bytes.Equal(raw, c.scalar) || sameNumber(raw, c.scalar))
}

// sameNumber compares numbers that are written in different ways, such as 100 and 1e2.
func sameNumber(a, b []byte) bool {
	if !bytes.ContainsAny(a, ".eE") && !bytes.ContainsAny(b, ".eE") {
		return false // whole numbers are written in one way only
	}
	x, errX := strconv.ParseFloat(string(a), 64)
	y, errY := strconv.ParseFloat(string(b), 64)
	return errX == nil && errY == nil && x == y
}
