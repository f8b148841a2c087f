package admin

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDescriptionHasEveryRoute holds openapi.json and the routes to each other: paths, methods and scopes.
func TestDescriptionHasEveryRoute(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string
		}
	}
	if err := json.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	var described, routes []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			scope := ""
			if len(op.Security) == 1 {
				scope = strings.Join(op.Security[0]["bearer"], "+")
			}
			described = append(described, strings.ToUpper(method)+" "+path+" "+scope)
		}
	}
	rest := regexp.MustCompile(`\.\.\.}`)
	for _, r := range newServer(context.Background(), Options{}).routes() {
		if r.path == "/{$}" || strings.HasPrefix(r.path, "/assets/") {
			continue // the page is for people
		}
		routes = append(routes, r.method+" "+rest.ReplaceAllString(r.path, "}")+" "+string(r.scope))
	}
	slices.Sort(described)
	slices.Sort(routes)
	if !slices.Equal(described, routes) {
		t.Errorf("described are\n%s\nthere are\n%s", strings.Join(described, "\n"), strings.Join(routes, "\n"))
	}
}
