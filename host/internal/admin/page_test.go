package admin

import (
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPageIsServed asks for the page and for every file of it, as somebody without a token.
func TestPageIsServed(t *testing.T) {
	t.Parallel()
	s := newServer(t.Context(), Options{Tokens: []Token{{Name: "t", Scopes: []Scope{Read}}}})
	handler := s.guard(s.mux())
	get := func(method, path, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		if tag != "" {
			r.Header.Set("If-None-Match", tag)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	paths := map[string]string{"/": "text/html; charset=utf-8"}
	files, err := fs.Glob(pageFiles, "page/*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		name := strings.TrimPrefix(f, "page/")
		paths["/assets/"+name] = pageType(name)
	}
	for path, contentType := range paths {
		w := get("GET", path, "")
		tag := w.Header().Get("ETag")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType || tag == "" || contentType == "" || w.Body.Len() == 0 {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the content policy is %q", path, csp)
		}
		if again := get("GET", path, tag); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s again: %d, %d bytes", path, again.Code, again.Body.Len())
		}
		if head := get("HEAD", path, ""); head.Code != http.StatusOK || head.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d, %d bytes", path, head.Code, head.Body.Len())
		}
	}
	for _, path := range []string{"/assets/", "/assets/none.js", "/assets/..", "/assets/%2e%2e%2fpage.go", "/assets/page.go", "/assets/.", "/index.html"} {
		if w := get("GET", path, ""); w.Code == http.StatusOK {
			t.Errorf("%s is served: %s", path, w.Body)
		}
	}
	if w := get("POST", "/", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST /: %d", w.Code)
	}
}

// TestPageNeedsNobodyElse holds the page's files to the content policy and to text: no code or style in the HTML, nothing
// from another host, nothing that makes HTML of a text.
func TestPageNeedsNobodyElse(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|javascript:|https?://|<style|\sstyle=|\son[a-z]+="`)
	files, err := fs.Glob(pageFiles, "page/*")
	if err != nil {
		t.Fatal(err)
	}
	imports := regexp.MustCompile(`from "\./([^"]+)"|(?:href|src)="assets/([^"]+)"`)
	used := map[string]bool{"index.html": true}
	for _, f := range files {
		text, err := fs.ReadFile(pageFiles, f)
		if err != nil {
			t.Fatal(err)
		}
		clean := strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", "") // a name, not an address
		if found := forbidden.FindString(clean); found != "" {
			t.Errorf("%s has %q", f, found)
		}
		for _, m := range imports.FindAllStringSubmatch(clean, -1) {
			used[m[1]+m[2]] = true
		}
	}
	for _, f := range files {
		if name := strings.TrimPrefix(f, "page/"); !used[name] {
			t.Errorf("nothing uses %s", name)
		}
	}
}

// TestPageContrast computes the contrast of every colour on what it lies on, in both schemes: WCAG 2.2 wants 4.5 for
// text and 3 for the edges of what can be used.
func TestPageContrast(t *testing.T) {
	t.Parallel()
	css, err := fs.ReadFile(pageFiles, "page/style.css")
	if err != nil {
		t.Fatal(err)
	}
	roots := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllSubmatch(css, -1)
	if len(roots) != 2 {
		t.Fatalf("there are %d sets of colours, not a light and a dark one", len(roots))
	}
	variable := regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`)
	scheme := map[string]string{}
	var schemes []map[string]string
	for _, root := range roots {
		next := map[string]string{}
		for name, value := range scheme {
			next[name] = value
		}
		for _, m := range variable.FindAllSubmatch(root[1], -1) {
			next[string(m[1])] = string(m[2])
		}
		schemes, scheme = append(schemes, next), next
	}
	if found := regexp.MustCompile(`[a-z]: [^;{}]*#[0-9a-f]{3,8}`).Find(variable.ReplaceAll(css, nil)); found != nil {
		t.Errorf("a colour is no variable: %s", found)
	}
	pairs := []struct {
		over, under string
		least       float64
	}{
		{"text", "back", 4.5}, {"text", "card", 4.5}, {"soft", "back", 4.5}, {"soft", "card", 4.5}, {"link", "back", 4.5}, {"link", "card", 4.5},
		{"text", "idle-back", 4.5}, {"on-primary", "primary", 4.5}, {"bad", "card", 4.5}, {"bad", "back", 4.5},
		{"good", "good-back", 4.5}, {"wait", "wait-back", 4.5}, {"bad", "bad-back", 4.5}, {"idle", "idle-back", 4.5},
		{"edge", "card", 3}, {"edge", "back", 3}, {"spark", "card", 3}, {"link", "wait-back", 3}, {"link", "bad-back", 3},
	}
	for i, colours := range schemes {
		for _, p := range pairs {
			if c := contrast(t, colours[p.over], colours[p.under]); c < p.least {
				t.Errorf("scheme %d: %s on %s has a contrast of %.2f, wants %.1f", i, p.over, p.under, c, p.least)
			}
		}
	}
	if fmt.Sprint(schemes[0]) == fmt.Sprint(schemes[1]) {
		t.Error("the dark scheme is the light one")
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	la, lb := luminance(t, a), luminance(t, b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// luminance is how bright a colour is, as WCAG defines it.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil || len(hex) != 6 {
		t.Fatalf("%q is no colour", hex)
	}
	linear := func(c uint64) float64 {
		v := float64(c&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}
