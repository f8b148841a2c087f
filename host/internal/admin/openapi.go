package admin

import (
	_ "embed"
	"net/http"
)

// description is what GET /openapi.json answers. A test holds it to the routes and to what they answer.
//
//go:embed openapi.json
var description []byte

func (s *server) openAPI(w http.ResponseWriter, r *http.Request) error {
	if err := query(r).err; err != nil {
		return err
	}
	return sendTagged(w, r, description)
}
