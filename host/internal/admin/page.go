package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// pageFiles are the page at /: HTML, CSS and JavaScript as browsers take them, without a build step.
//
//go:embed page
var pageFiles embed.FS

// page is the page itself. It holds no data, so nobody needs a token for it.
func (s *server) page(w http.ResponseWriter, r *http.Request) error {
	return sendPage(w, r, "index.html")
}

// asset is a file that the page uses.
func (s *server) asset(w http.ResponseWriter, r *http.Request) error {
	return sendPage(w, r, r.PathValue("file"))
}

// pageType is a file's type, whatever the machine says; empty if the page has none such.
func pageType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return ""
}

func sendPage(w http.ResponseWriter, r *http.Request, name string) error {
	contentType := pageType(name)
	content, err := fs.ReadFile(pageFiles, "page/"+path.Base(name))
	if contentType == "" || errors.Is(err, fs.ErrNotExist) {
		return notFound("the page is at /", "the page has no file %q", shorten(name))
	}
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	sum := sha256.Sum256(content)
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`)
	h.Set("Cache-Control", "no-cache") // kept if it is asked for again each time: a new host has a new page
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	return nil
}
