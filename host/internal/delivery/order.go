package delivery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"eshost/host/event"
)

// Order gives an event's ordering key: events of one key are handled in position order, one at a time.
type Order func(e *event.Event) string

// ByStream orders events within their stream.
func ByStream(e *event.Event) string { return e.Stream }

// ByAll puts all events in one order.
func ByAll(*event.Event) string { return "all" }

// ByMetadata orders events that have the same value under name in their metadata. Events without it
// are ordered by stream.
func ByMetadata(name string) Order {
	return func(e *event.Event) string {
		raw := topLevel(e.Metadata, name)
		if raw == nil || string(raw) == "null" {
			return e.Stream
		}
		text := string(raw)
		if raw[0] == '"' {
			var unquoted string
			if bytes.IndexByte(raw, '\\') < 0 {
				text = text[1 : len(text)-1]
			} else if json.Unmarshal(raw, &unquoted) == nil && !strings.ContainsRune(unquoted, 0) {
				text = unquoted
			}
		}
		return boundedKey(strings.ToValidUTF8(text, "\uFFFD"))
	}
}

// ParseOrder reads hosts.toml's order_by: "stream", "all" or "metadata.<name>".
func ParseOrder(s string) (Order, error) {
	switch name, isMetadata := strings.CutPrefix(s, "metadata."); {
	case s == "stream":
		return ByStream, nil
	case s == "all":
		return ByAll, nil
	case isMetadata && name != "":
		return ByMetadata(name), nil
	}
	return nil, fmt.Errorf("order_by must be stream, all or metadata.<name>, is %q", s)
}

// boundedKey keeps a key short enough for an index row.
func boundedKey(key string) string {
	const longest = 512
	if len(key) <= longest {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}
