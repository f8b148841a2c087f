package abi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"eshost/host/event"
)

func TestEnvelopeSizeIsWhatAppendAdds(t *testing.T) {
	for _, c := range envelopeCases {
		b := AppendEnvelope([]byte("before"), &c.event, c.attempt)
		if got, want := len(b)-len("before"), EnvelopeSize(&c.event); got != want {
			t.Errorf("%s: AppendEnvelope added %d bytes, EnvelopeSize says %d", c.name, got, want)
		}
	}
}

// malformed is one way to break the good bytes of an envelope or an emit.
type malformed struct {
	name  string
	spoil func(b []byte, l layout) []byte
}

// layout says where things are, because the envelope and emit differ only in that.
type layout struct{ fixed, countAt, slots int }

func (l layout) header() int        { return l.fixed + 8*l.slots }
func (l layout) slot(i int) int     { return l.fixed + 8*i }
func (l layout) lastSlot() int      { return l.slot(l.slots - 1) }
func put32(b []byte, at int, v int) { binary.LittleEndian.PutUint32(b[at:], uint32(v)) }
func put16(b []byte, at int, v int) { binary.LittleEndian.PutUint16(b[at:], uint16(v)) }

var malformedCases = []malformed{
	{"nothing", func([]byte, layout) []byte { return nil }},
	{"one byte", func(b []byte, _ layout) []byte { return b[:1] }},
	{"cut in the fixed part", func(b []byte, l layout) []byte { return b[:l.fixed-1] }},
	{"cut after the fixed part", func(b []byte, l layout) []byte { return b[:l.fixed] }},
	{"cut in the slots", func(b []byte, l layout) []byte { return b[:l.header()-1] }},
	{"cut in the bytes", func(b []byte, _ layout) []byte { return b[:len(b)-1] }},
	{"another magic", func(b []byte, _ layout) []byte { b[3]++; return b }},
	{"header length 0", func(b []byte, _ layout) []byte { put16(b, 4, 0); return b }},
	{"header ends before the slots", func(b []byte, l layout) []byte { put16(b, 4, l.header()-1); return b }},
	{"header ends after the bytes", func(b []byte, _ layout) []byte { put16(b, 4, len(b)+1); return b }},
	{"no slots", func(b []byte, l layout) []byte { put32(b, l.countAt, 0); return b }},
	{"one slot missing", func(b []byte, l layout) []byte { put32(b, l.countAt, l.slots-1); return b }},
	{"one slot more than the header holds", func(b []byte, l layout) []byte { put32(b, l.countAt, l.slots+1); return b }},
	{"2^32-1 slots", func(b []byte, l layout) []byte { put32(b, l.countAt, -1); return b }},
	{"2^29 slots, 8 times which is 0 in 32 bits", func(b []byte, l layout) []byte { put32(b, l.countAt, 1<<29); return b }},
	{"slot begins in the header", func(b []byte, l layout) []byte { put32(b, l.slot(0), l.header()-1); return b }},
	{"slot begins at 0", func(b []byte, l layout) []byte { put32(b, l.slot(0), 0); return b }},
	{"slot begins after the end", func(b []byte, l layout) []byte { put32(b, l.slot(0), len(b)+1); return b }},
	{"empty slot begins after the end", func(b []byte, l layout) []byte {
		put32(b, l.slot(1), len(b)+1)
		put32(b, l.slot(1)+4, 0)
		return b
	}},
	{"slot begins at 2^32-1", func(b []byte, l layout) []byte { put32(b, l.slot(0), -1); return b }},
	{"slot one byte too long", func(b []byte, l layout) []byte {
		put32(b, l.lastSlot(), len(b)-1)
		put32(b, l.lastSlot()+4, 2)
		return b
	}},
	{"slot of 2^32-1 bytes", func(b []byte, l layout) []byte { put32(b, l.slot(0)+4, -1); return b }},
	{"slot whose end is 0 in 32 bits", func(b []byte, l layout) []byte {
		put32(b, l.slot(0), l.header())
		put32(b, l.slot(0)+4, -l.header())
		return b
	}},
}

func TestDecodeRefusesMalformedBytes(t *testing.T) {
	kinds := []struct {
		name   string
		layout layout
		good   []byte
		decode func([]byte) error
	}{
		{"envelope", layout{envelopeFixed, 36, envelopeSlots}, AppendEnvelope(nil, &envelopeCases[0].event, 1), func(b []byte) error {
			_, _, err := DecodeEnvelope(b)
			return err
		}},
		{"emit", layout{emitFixed, 8, emitSlots}, AppendEmit(nil, &emitCases[0].emitted), func(b []byte) error {
			_, err := DecodeEmit(b)
			return err
		}},
	}
	for _, k := range kinds {
		if err := k.decode(k.good); err != nil {
			t.Fatalf("%s: the good bytes are refused: %v", k.name, err)
		}
		for _, c := range malformedCases {
			t.Run(k.name+"/"+strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
				if err := k.decode(c.spoil(bytes.Clone(k.good), k.layout)); !errors.Is(err, ErrEnvelope) {
					t.Errorf("error is %v, want ErrEnvelope", err)
				}
			})
		}
	}
}

func TestDecodeRefusesMoreThanMaxSlots(t *testing.T) {
	for n, ok := range map[int]bool{maxSlots: true, maxSlots + 1: false} {
		b := make([]byte, emitFixed+8*n)
		put32(b, 0, EmitMagic)
		put16(b, 4, len(b))
		put32(b, 8, n)
		if _, err := DecodeEmit(b); (err == nil) != ok {
			t.Errorf("%d slots: error is %v", n, err)
		}
	}
}

func seed(f *testing.F, pattern string) {
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds %s: %v", pattern, err)
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
}

// FuzzDecodeEnvelope: no bytes crash the decoder, and what it accepts survives being written again.
func FuzzDecodeEnvelope(f *testing.F) {
	seed(f, "envelope-*.bin")
	f.Fuzz(func(t *testing.T, b []byte) {
		e, attempt, err := DecodeEnvelope(b)
		if err != nil {
			if !errors.Is(err, ErrEnvelope) {
				t.Fatalf("error is no ErrEnvelope: %v", err)
			}
			return
		}
		again, attemptAgain, err := DecodeEnvelope(AppendEnvelope(nil, &e, attempt))
		if err != nil {
			t.Fatalf("written again it is refused: %v", err)
		}
		if attempt != attemptAgain || !sameEvent(&e, &again) {
			t.Fatalf("written again it is\n%+v\nwas\n%+v", again, e)
		}
	})
}

// FuzzDecodeEmit: as above, and nothing of the result may change when the guest writes on.
func FuzzDecodeEmit(f *testing.F) {
	seed(f, "emit-*.bin")
	f.Fuzz(func(t *testing.T, guest []byte) {
		b := bytes.Clone(guest) // the fuzzer's own bytes must not change
		e, err := DecodeEmit(b)
		if err != nil {
			if !errors.Is(err, ErrEnvelope) {
				t.Fatalf("error is no ErrEnvelope: %v", err)
			}
			return
		}
		before := AppendEmit(nil, &e)
		for i := range b {
			b[i] ^= 0xff
		}
		if !bytes.Equal(before, AppendEmit(nil, &e)) {
			t.Fatal("the result aliases the guest's bytes")
		}
		again, err := DecodeEmit(before)
		if err != nil {
			t.Fatalf("written again it is refused: %v", err)
		}
		if !bytes.Equal(before, AppendEmit(nil, &again)) {
			t.Fatalf("written again it is %+v, was %+v", again, e)
		}
	})
}

func sameEvent(a, b *event.Event) bool {
	return a.Position == b.Position && a.Version == b.Version && a.Time.Equal(b.Time) &&
		a.ID == b.ID && a.Type == b.Type && a.Stream == b.Stream && a.StreamType == b.StreamType &&
		bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Metadata, b.Metadata) && a.ContentType == b.ContentType
}
