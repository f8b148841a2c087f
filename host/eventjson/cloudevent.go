package eventjson

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"eshost/host/event"
	"eshost/host/store"
)

func (d Decoder) decodeCloudEvent(list []member) (s store.StreamAppend, e store.NewEvent, err error) {
	s.Expected = store.AnyVersion
	var source, subject string
	var data *member
	var attributes []member // those that become metadata
	for _, m := range list {
		if m.isNull() && m.name != "data" {
			continue
		}
		switch m.name {
		case "specversion":
			err = m.specVersion()
		case "id":
			e.ID, err = m.text()
		case "source":
			source, err = m.text()
			attributes = append(attributes, m)
		case "subject":
			if subject, err = m.text(); d.Stream != "" && subject != d.Stream {
				attributes = append(attributes, m)
			}
		case "type":
			e.Type, err = m.text()
		case "time":
			e.Time, err = m.time()
		case "datacontenttype":
			e.ContentType, err = m.text()
		case "data":
			data = &m
		case "data_base64":
			e.Data, err = m.base64Data(e.Data)
		default:
			err = m.attribute()
			attributes = append(attributes, m)
		}
		if err != nil {
			return s, e, err
		}
	}
	switch {
	case e.ID == "":
		return s, e, errors.New("id is missing, which a CloudEvent must have")
	case source == "":
		return s, e, errors.New("source is missing, which a CloudEvent must have")
	}
	s.Stream = cmp.Or(d.Stream, subject, source)
	e.Metadata = object(attributes)
	if e.Data, err = cloudEventData(data, e.Data, e.ContentType); err != nil {
		return s, e, err
	}
	return s, e, nil
}

// Binary reads a CloudEvent whose attributes lie beside its data, as in the binary mode of the HTTP
// binding. attributes has them by name, without datacontenttype, which is contentType; both share no
// memory with what is returned, data does.
func (d Decoder) Binary(attributes map[string]string, contentType string, data []byte) (store.StreamAppend, error) {
	var list []member
	for name, value := range attributes {
		switch name {
		case "data", "data_base64", "datacontenttype":
			return store.StreamAppend{}, fmt.Errorf("attribute %q is no attribute in binary mode", name)
		}
		if !utf8.ValidString(value) {
			return store.StreamAppend{}, fmt.Errorf("attribute %q must be UTF-8", name)
		}
		list = append(list, member{name, quote(value)})
	}
	if _, ok := attributes["specversion"]; !ok {
		return store.StreamAppend{}, errors.New("specversion is missing, which a CloudEvent must have")
	}
	s, e, err := d.decodeCloudEvent(list)
	if err != nil {
		return store.StreamAppend{}, err
	}
	switch {
	case contentType == "" && len(data) > 0 && !event.ValidJSON(data):
		contentType = "application/octet-stream"
	case contentType != "" && isJSON(contentType) && !event.ValidJSON(data):
		return store.StreamAppend{}, fmt.Errorf("data is declared as %s and is not JSON", contentType)
	}
	e.ContentType = contentType
	if len(data) > 0 || contentType != "" {
		e.Data = data
	}
	return appendOf(s, e)
}

func (m member) specVersion() error {
	version, err := m.text()
	if err == nil && version != "1.0" {
		err = fmt.Errorf("specversion must be \"1.0\", is %q", version)
	}
	return err
}

// attribute checks an extension attribute: a plain name and a scalar value.
func (m member) attribute() error {
	plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }
	if m.name == "" || strings.ContainsFunc(m.name, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("unknown key %q: a CloudEvent's attribute has only a-z and 0-9 in its name", m.name)
	}
	if m.raw[0] == '{' || m.raw[0] == '[' {
		return fmt.Errorf("attribute %q must be text, a number or a boolean", m.name)
	}
	return nil
}

// object writes attributes as a JSON object, in an order of its own: producers do not keep one.
func object(attributes []member) []byte {
	slices.SortFunc(attributes, func(a, b member) int { return strings.Compare(a.name, b.name) })
	b := []byte{'{'}
	for i, m := range attributes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, quote(m.name)...), ':'), m.raw...)
	}
	return append(b, '}')
}

func cloudEventData(data *member, bytes []byte, contentType string) ([]byte, error) {
	switch {
	case data == nil && bytes == nil:
		return []byte("null"), nil
	case data == nil:
		return bytes, nil
	case bytes != nil:
		return nil, errors.New("data and data_base64 exclude each other")
	case data.raw[0] == '"' && !isJSON(contentType):
		return []byte(unquote(data.raw)), nil
	}
	return data.raw, nil
}

// isJSON reports whether a media type declares JSON, by the rule of the CloudEvents JSON format.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	return strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json")
}
