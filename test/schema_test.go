package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// description is a host's openapi.json, and what of it was seen to be true.
type description struct {
	doc   map[string]any
	paths map[string]*regexp.Regexp

	mu   sync.Mutex
	seen map[string]bool // "GET /v1/events 200"
}

func newDescription(t *testing.T, text []byte) *description {
	t.Helper()
	d := &description{paths: map[string]*regexp.Regexp{}, seen: map[string]bool{}}
	if err := json.Unmarshal(text, &d.doc); err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	parameter := regexp.MustCompile(`\\\{[a-z]+\\\}`)
	for path := range d.doc["paths"].(map[string]any) {
		pattern := parameter.ReplaceAllString(regexp.QuoteMeta(path), `[^/]+`)
		d.paths[path] = regexp.MustCompile("^" + pattern + "$")
	}
	return d
}

// operations lists what is described, as "GET /v1/events".
func (d *description) operations() []string {
	var all []string
	for path, methods := range d.doc["paths"].(map[string]any) {
		for method := range methods.(map[string]any) {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

// check says what an answer has that the description has not.
func (d *description) check(method, path string, res *http.Response, body []byte) error {
	if method == http.MethodHead {
		return nil
	}
	for template, pattern := range d.paths {
		if !pattern.MatchString(path) {
			continue
		}
		operation, ok := d.doc["paths"].(map[string]any)[template].(map[string]any)[strings.ToLower(method)].(map[string]any)
		if !ok {
			return nil // 405
		}
		status := fmt.Sprint(res.StatusCode)
		answer, ok := operation["responses"].(map[string]any)[status].(map[string]any)
		if !ok {
			return fmt.Errorf("%s %s answers %s, which is not described: %s", method, template, status, body)
		}
		d.mu.Lock()
		d.seen[method+" "+template] = true
		d.mu.Unlock()
		return d.checkBody(answer, res, body)
	}
	return nil // 404
}

func (d *description) checkBody(answer map[string]any, res *http.Response, body []byte) error {
	content, ok := answer["content"].(map[string]any)
	if !ok {
		if len(body) > 0 {
			return fmt.Errorf("a body where none is described: %s", body)
		}
		return nil
	}
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	form, ok := content[media].(map[string]any)
	if !ok {
		return fmt.Errorf("the answer is %s, described are %v", media, slices.Collect(maps.Keys(content)))
	}
	if media != "application/json" && media != "application/problem+json" {
		return nil
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return fmt.Errorf("the answer is no JSON: %w", err)
	}
	if err := d.fits(form["schema"], value, "$"); err != nil {
		return fmt.Errorf("%w\n%s", err, body)
	}
	return nil
}

// fits checks a value against the parts of JSON Schema that the description uses.
func (d *description) fits(s, value any, at string) error {
	schema := s.(map[string]any)
	for word := range schema {
		if !slices.Contains([]string{"$ref", "type", "enum", "properties", "required", "additionalProperties", "items", "allOf", "minimum", "format",
			"description"}, word) {
			return fmt.Errorf("%s: the schema says %q, which this test does not check", at, word)
		}
	}
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		return d.fits(d.doc["components"].(map[string]any)["schemas"].(map[string]any)[name], value, at)
	}
	if all, ok := schema["allOf"].([]any); ok {
		for _, part := range all {
			if err := d.fits(part, value, at); err != nil {
				return err
			}
		}
	}
	if kind, ok := schema["type"].(string); ok && !isKind(value, kind) {
		return fmt.Errorf("%s: %v is no %s", at, value, kind)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Errorf("%s: %v is none of %v", at, value, enum)
	}
	if least, ok := schema["minimum"].(float64); ok {
		if n, err := value.(json.Number).Float64(); err != nil || n < least {
			return fmt.Errorf("%s: %v is below %v", at, value, least)
		}
	}
	if schema["format"] == "date-time" {
		if _, err := time.Parse(time.RFC3339Nano, value.(string)); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return d.fitsInside(schema, value, at)
}

func (d *description) fitsInside(schema map[string]any, value any, at string) error {
	if items, ok := value.([]any); ok && schema["items"] != nil {
		for i, item := range items {
			if err := d.fits(schema["items"], item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	if required, ok := schema["required"].([]any); ok {
		for _, name := range required {
			if _, has := object[name.(string)]; !has {
				return fmt.Errorf("%s has no %v", at, name)
			}
		}
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, member := range object {
		if property, ok := properties[name]; ok {
			if err := d.fits(property, member, at+"."+name); err != nil {
				return err
			}
		} else if schema["additionalProperties"] == false {
			return fmt.Errorf("%s has %q, which is not described", at, name)
		}
	}
	return nil
}

func isKind(value any, kind string) bool {
	switch v := value.(type) {
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case map[string]any:
		return kind == "object"
	case []any:
		return kind == "array"
	case json.Number:
		_, err := v.Int64()
		return kind == "number" || kind == "integer" && err == nil
	}
	return false
}
