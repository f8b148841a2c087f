package postgres

import (
	"cmp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Mapping names the events table and its columns. It is the one place that knows them: every
// statement on events is built from it.
type Mapping struct {
	// Schema that holds the table. Defaults to Options.Schema.
	Schema string
	// Table of the events. It may be partitioned. Defaults to events.
	Table string

	// Position is a bigint whose default is a sequence with INCREMENT 1, CACHE 1 and NO CYCLE, and a
	// unique key. Defaults to position.
	Position string
	// Stream is a text, and with Version a unique key. Defaults to stream.
	Stream string
	// StreamType is a text. Defaults to stream_type.
	StreamType string
	// Version is a bigint. Defaults to version.
	Version string
	// ID is a text and a unique key. Defaults to id.
	ID string
	// Type is a text. Defaults to type.
	Type string
	// Data is a bytea. Defaults to data.
	Data string
	// Metadata is a json. Defaults to metadata.
	Metadata string
	// ContentType is a text. Defaults to content_type.
	ContentType string
	// Time is a timestamptz. Defaults to time.
	Time string
}

func (m Mapping) withDefaults(schema string) Mapping {
	m.Schema = cmp.Or(m.Schema, schema)
	m.Table = cmp.Or(m.Table, "events")
	m.Position = cmp.Or(m.Position, "position")
	m.Stream = cmp.Or(m.Stream, "stream")
	m.StreamType = cmp.Or(m.StreamType, "stream_type")
	m.Version = cmp.Or(m.Version, "version")
	m.ID = cmp.Or(m.ID, "id")
	m.Type = cmp.Or(m.Type, "type")
	m.Data = cmp.Or(m.Data, "data")
	m.Metadata = cmp.Or(m.Metadata, "metadata")
	m.ContentType = cmp.Or(m.ContentType, "content_type")
	m.Time = cmp.Or(m.Time, "time")
	return m
}

// column is a column that a table must have.
type column struct{ name, kind string }

// columns lists what the events table must have, in the order in which events are read.
func (m Mapping) columns() []column {
	return []column{
		{m.Position, "bigint"}, {m.Stream, "text"}, {m.StreamType, "text"}, {m.Version, "bigint"}, {m.ID, "text"},
		{m.Type, "text"}, {m.Data, "bytea"}, {m.Metadata, "json"}, {m.ContentType, "text"}, {m.Time, "timestamp with time zone"},
	}
}

// names expands {placeholders} in SQL to quoted identifiers.
func (m Mapping) names(schema string) *strings.Replacer {
	var pairs []string
	add := func(placeholder string, identifier ...string) {
		pairs = append(pairs, "{"+placeholder+"}", pgx.Identifier(identifier).Sanitize())
	}
	add("events", m.Schema, m.Table)
	add("position", m.Position)
	add("stream", m.Stream)
	add("stream_type", m.StreamType)
	add("version", m.Version)
	add("id", m.ID)
	add("type", m.Type)
	add("data", m.Data)
	add("metadata", m.Metadata)
	add("content_type", m.ContentType)
	add("time", m.Time)
	var all []string
	for _, c := range m.columns() {
		all = append(all, pgx.Identifier{c.name}.Sanitize())
	}
	pairs = append(pairs, "{event}", strings.Join(all, ", "))
	for _, table := range []string{"migrations", "hosts", "plugins", "generations", "documents", "sequences", "sequence_events", "module_spans",
		"requests", "replacements", "modules", "reloads", "bell"} {
		add(table, schema, table)
	}
	return strings.NewReplacer(pairs...)
}
