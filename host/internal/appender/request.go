package appender

import (
	"fmt"
	"slices"

	"github.com/google/uuid"

	"eshost/host/store"
)

// withIDs returns the request with an id for every event. The caller's slices stay as they are.
func withIDs(req store.AppendRequest) (store.AppendRequest, error) {
	req.Streams = slices.Clone(req.Streams)
	for i := range req.Streams {
		sa := &req.Streams[i]
		sa.Events = slices.Clone(sa.Events)
		for j := range sa.Events {
			if sa.Events[j].ID != "" {
				continue
			}
			id, err := uuid.NewV7() // rises with time, so that an index of ids grows at its end
			if err != nil {
				return store.AppendRequest{}, fmt.Errorf("make an event id: %w", err)
			}
			sa.Events[j].ID = id.String()
		}
	}
	return req, nil
}

func ids(req store.AppendRequest) []string {
	var out []string
	for _, s := range req.Streams {
		for i := range s.Events {
			out = append(out, s.Events[i].ID)
		}
	}
	return out
}

// size is what a request costs in memory, near enough for bounds.
func size(req store.AppendRequest) int64 {
	const request, perStream, perEvent = 512, 128, 256
	n := request
	for _, s := range req.Streams {
		n += perStream + len(s.Stream) + len(s.StreamType)
		for i := range s.Events {
			e := &s.Events[i]
			n += perEvent + len(e.ID) + len(e.Type) + len(e.Data) + len(e.Metadata) + len(e.ContentType)
		}
	}
	return int64(n)
}
