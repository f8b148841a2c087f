package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"eshost/host/store"
)

// collections lists the collections of a plugin's read model that have documents.
func (s *server) collections(w http.ResponseWriter, r *http.Request) error {
	gen, err := s.readModel(w, r, query(r, "after", "timeout"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	names, err := s.o.Store.Collections(ctx, gen.ID)
	if err != nil {
		return fmt.Errorf("list the collections of %s: %w", gen.Plugin, err)
	}
	body, err := marshal(map[string]any{"collections": append([]string{}, names...)})
	if err != nil {
		return err
	}
	return sendTagged(w, r, body)
}

// document answers with one document: the bytes as they are stored, or some of its fields.
func (s *server) document(w http.ResponseWriter, r *http.Request) error {
	p := query(r, "after", "timeout", "fields")
	fields := p.list("fields")
	gen, err := s.readModel(w, r, p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	name := store.DocumentKey{Collection: r.PathValue("collection"), Key: r.PathValue("key")}
	var data []byte
	if validName(name.Collection) && validName(name.Key) {
		docs, err := s.o.Store.Documents(ctx, gen.ID, []store.DocumentKey{name})
		if err != nil {
			return fmt.Errorf("read a document of %s: %w", gen.Plugin, err)
		}
		if len(docs) > 0 {
			data = docs[0].Data
		}
	}
	if data == nil {
		return notFound("a key's slashes and other special characters are percent-encoded; without a key the collection is listed",
			"plugin %q has no document %q in collection %q", gen.Plugin, shorten(name.Key), shorten(name.Collection))
	}
	if len(fields) > 0 {
		data = only(data, fields)
	}
	return sendTagged(w, r, data)
}

// validName reports whether a document may have such a name; a database may refuse to look for others.
func validName(s string) bool {
	return s != "" && len(s) <= store.MaxNameBytes*2 && strings.ToValidUTF8(s, "") == s && !strings.ContainsRune(s, 0)
}

// only returns the named top-level members of a document, in the order in which they are named, each as
// it is stored. What is no object has none.
func only(data []byte, fields []string) []byte {
	members := map[string]json.RawMessage{}
	_ = json.Unmarshal(data, &members) // what is no object has no members
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range fields {
		raw, ok := members[name]
		if !ok || slices.Contains(fields[:i], name) {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(quote(name))
		b.WriteByte(':')
		b.Write(raw)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// sendTagged answers with JSON under a strong ETag, or with 304 if the client has these very bytes.
func sendTagged(w http.ResponseWriter, r *http.Request, body []byte) error {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache") // kept if it is asked for again each time
	if tagged(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client has gone
	return nil
}

// tagged reports whether If-None-Match names a tag.
func tagged(headers []string, tag string) bool {
	for _, h := range headers {
		for candidate := range strings.SplitSeq(h, ",") {
			if c := strings.TrimPrefix(strings.TrimSpace(candidate), "W/"); c == tag || c == "*" {
				return true
			}
		}
	}
	return false
}
