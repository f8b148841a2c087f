package admin

import (
	"net/http"
	"slices"
	"strings"

	"eshost/host/store"
)

// route is one thing a client can ask for.
type route struct {
	method string
	path   string // a pattern of http.ServeMux, without method
	scope  Scope  // that a token needs, where there are tokens; empty: nobody needs one
	handle func(http.ResponseWriter, *http.Request) error
}

// routes is everything the listener answers. openapi.json describes the same.
func (s *server) routes() []route {
	return []route{
		{"GET", "/{$}", "", s.page},
		{"GET", "/assets/{file}", "", s.asset},

		{"GET", "/healthz", "", s.healthz},
		{"GET", "/readyz", "", s.readyz},
		{"GET", "/metrics", Read, s.metrics},
		{"GET", "/openapi.json", "", s.openAPI},
		{"GET", "/v1/status", Read, s.status},

		{"GET", "/v1/plugins", Read, s.plugins},
		{"GET", "/v1/plugins/{plugin}", Read, s.plugin},
		{"GET", "/v1/plugins/{plugin}/documents", Read, s.collections},
		{"GET", "/v1/plugins/{plugin}/documents/{collection}", Read, s.documents},
		{"GET", "/v1/plugins/{plugin}/documents/{collection}/{key...}", Read, s.document},

		{"GET", "/v1/plugins/{plugin}/changes", Read, s.changes},

		{"GET", "/v1/plugins/{plugin}/parked", Read, s.parkedList},
		{"GET", "/v1/plugins/{plugin}/parked/{key...}", Read, s.parkedSequence},
		{"POST", "/v1/plugins/{plugin}/retry", Admin, s.ask(store.AskRetry)},
		{"POST", "/v1/plugins/{plugin}/skip", Admin, s.ask(store.AskSkip)},
		{"POST", "/v1/plugins/{plugin}/edit", Admin, s.ask(store.AskEdit)},
		{"POST", "/v1/plugins/{plugin}/pause", Admin, s.ask(store.AskPause)},
		{"POST", "/v1/plugins/{plugin}/resume", Admin, s.ask(store.AskResume)},
		{"GET", "/v1/plugins/{plugin}/generations", Read, s.generations},
		{"POST", "/v1/plugins/{plugin}/rebuild", Admin, s.ask(store.AskRebuild)},
		{"POST", "/v1/plugins/{plugin}/rollback", Admin, s.ask(store.AskRollback)},
		{"POST", "/v1/plugins/{plugin}/drop", Admin, s.ask(store.AskDrop)},
		{"POST", "/v1/reload", Admin, s.reload},

		{"GET", "/v1/streams/{stream...}", Read, s.stream},
		{"POST", "/v1/streams/{stream...}", Append, s.append},
		{"GET", "/v1/events", Read, s.events},
	}
}

// mux answers by path first and method second, so that a wrong method is told which ones there are.
func (s *server) mux() *http.ServeMux {
	byPath := map[string][]route{}
	for _, r := range s.routes() {
		byPath[r.path] = append(byPath[r.path], r)
	}
	mux := http.NewServeMux()
	for path, routes := range byPath {
		mux.Handle(path, s.methods(routes))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, notFound("GET /openapi.json lists what there is", "there is nothing at %q", shorten(r.URL.Path)))
	})
	return mux
}

// methods picks the route of the request's method. HEAD is GET whose body net/http leaves out.
func (s *server) methods(routes []route) http.Handler {
	var allowed []string
	for _, r := range routes {
		allowed = append(allowed, r.method)
		if r.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	allow := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		i := slices.IndexFunc(routes, func(rt route) bool { return rt.method == method })
		if i < 0 {
			w.Header().Set("Allow", allow)
			s.fail(w, r, &problem{status: http.StatusMethodNotAllowed, kind: "method-not-allowed", title: "That cannot be done here",
				detail: shorten(r.Method) + " is not a method of this path", hint: "it takes " + allow})
			return
		}
		err := s.permit(w, r, routes[i].scope)
		if err == nil {
			err = routes[i].handle(w, r)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}
