package event

import (
	"mime"
	"strings"
)

// IsJSON reports whether a media type declares JSON. None at all does.
func IsJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	return strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json")
}
