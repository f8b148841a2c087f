package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Scope is what a token allows.
type Scope string

const (
	// Read sees documents, events, plugins, status and metrics.
	Read Scope = "read"
	// Append stores events.
	Append Scope = "append"
	// Admin changes plugins: what is parked, whether they run, which module does.
	Admin Scope = "admin"
)

// Token is what a client shows to be let in.
type Token struct {
	// Name tells tokens apart, in the log.
	Name string
	// SHA256 is the token's digest; the token itself is not kept.
	SHA256 [sha256.Size]byte
	// Scopes is what it allows, and nothing more.
	Scopes []Scope
}

// permit refuses a request that needs a token and has none that allows it. Without tokens only this
// machine's own programs reach the listener, and all of them may do everything.
func (s *server) permit(w http.ResponseWriter, r *http.Request, scope Scope) error {
	if scope == "" || len(s.o.Tokens) == 0 {
		return nil
	}
	token, err := s.find(r.Header.Values("Authorization"))
	if err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="eshost"`)
		return err
	}
	if rec, ok := w.(*recorder); ok {
		rec.token = token.Name
	}
	if slices.Contains(token.Scopes, scope) {
		return nil
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="eshost", error="insufficient_scope", scope=%q`, string(scope)))
	return &problem{status: http.StatusForbidden, kind: "forbidden", title: "The token does not allow that",
		detail: fmt.Sprintf("this needs a token with the scope %q", scope), hint: "scopes are given in hosts.toml, in [[host.tokens]]"}
}

// find returns the token that a request shows. It takes as long for any wrong one: digests are compared,
// all of them, in constant time.
func (s *server) find(headers []string) (*Token, error) {
	refused := &problem{status: http.StatusUnauthorized, kind: "unauthorized", title: "A token is needed", detail: "the request has no token",
		hint: `send the header "Authorization: Bearer TOKEN" with a token of [[host.tokens]] in hosts.toml`}
	if len(headers) == 0 {
		return nil, refused
	}
	scheme, shown, ok := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
		refused.detail = "the request's authorization is no bearer token"
		return nil, refused
	}
	digest := sha256.Sum256([]byte(strings.TrimLeft(shown, " ")))
	var found *Token
	for i := range s.o.Tokens {
		if subtle.ConstantTimeCompare(digest[:], s.o.Tokens[i].SHA256[:]) == 1 {
			found = &s.o.Tokens[i]
		}
	}
	if found == nil {
		refused.detail = "the token is not one of this host's"
		return nil, refused
	}
	return found, nil
}
