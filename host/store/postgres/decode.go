package postgres

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"eshost/host/event"

	"github.com/jackc/pgx/v5"
)

// eventReader turns rows of events into events. It copies each row's bytes once, into blocks that the
// events of a batch share: an event that is kept keeps at most its block.
type eventReader struct {
	text  *strings.Builder
	bytes []byte
	known map[string]string // short strings that come again and again: types, content types
}

const (
	blockSize  = 16 << 10
	mostKnown  = 256
	longestOne = 64
)

// binaryResults asks for every column in binary, which is what the reader reads.
var binaryResults = pgx.QueryResultFormats{pgx.BinaryFormatCode}

// read reads one event from the columns of Mapping.columns.
func (r *eventReader) read(e *event.Event, raw [][]byte) error {
	if len(raw) != 10 || len(raw[0]) != 8 && raw[0] != nil || len(raw[3]) != 8 || len(raw[9]) != 8 && raw[9] != nil {
		return fmt.Errorf("read an event: %d columns of unexpected form", len(raw))
	}
	e.Position = event.Position(int64Of(raw[0]))
	e.Stream = r.string(raw[1])
	e.StreamType = r.repeated(raw[2])
	e.Version = int64Of(raw[3])
	e.ID = r.string(raw[4])
	e.Type = r.repeated(raw[5])
	e.Data = r.copy(raw[6])
	e.Metadata = r.copy(raw[7])
	e.ContentType = r.repeated(raw[8])
	e.Time = timeOf(raw[9])
	return nil
}

func int64Of(raw []byte) int64 {
	if raw == nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(raw))
}

// epoch is PostgreSQL's: its times count microseconds from here.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func timeOf(raw []byte) time.Time {
	switch micros := int64Of(raw); {
	case raw == nil, micros == math.MinInt64: // -infinity
		return time.Time{}
	case micros == math.MaxInt64: // infinity
		return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	default:
		return time.UnixMicro(micros + epoch).UTC()
	}
}

func (r *eventReader) string(raw []byte) string {
	if len(raw) == 0 {
		return ""
	}
	if r.text == nil || r.text.Cap()-r.text.Len() < len(raw) {
		if len(raw) > blockSize/4 {
			return string(raw)
		}
		// Strings that were given out keep the old block.
		r.text = new(strings.Builder)
		r.text.Grow(blockSize)
	}
	start := r.text.Len()
	r.text.Write(raw)
	return r.text.String()[start:]
}

func (r *eventReader) repeated(raw []byte) string {
	if s, ok := r.known[string(raw)]; ok || len(raw) == 0 {
		return s
	}
	if len(raw) > longestOne || len(r.known) >= mostKnown {
		return r.string(raw)
	}
	if r.known == nil {
		r.known = make(map[string]string)
	}
	s := string(raw)
	r.known[s] = s
	return s
}

func (r *eventReader) copy(raw []byte) []byte {
	if len(raw) == 0 {
		return []byte{}
	}
	if len(raw) > blockSize/4 {
		return append([]byte(nil), raw...)
	}
	if cap(r.bytes)-len(r.bytes) < len(raw) {
		r.bytes = make([]byte, 0, blockSize)
	}
	start := len(r.bytes)
	r.bytes = append(r.bytes, raw...)
	return r.bytes[start:len(r.bytes):len(r.bytes)]
}
