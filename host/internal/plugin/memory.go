package plugin

import "github.com/tetratelabs/wazero/experimental"

// memories makes the linear memories of instances.
//
// wazero's own grow by append, which moves all there is in one piece of machine code that no garbage collection can
// interrupt: a guest with a gigabyte would stop the host for a quarter of a second. These are moved a piece at a time.
//
// Invariant 6: a guest that grows holds up nobody else.
type memories struct{}

var _ experimental.MemoryAllocator = memories{}

func (memories) Allocate(capacity, most uint64) experimental.LinearMemory {
	return &linearMemory{bytes: make([]byte, 0, capacity), most: most}
}

type linearMemory struct {
	bytes []byte // what lies between its length and its capacity is zero: linear memory never shrinks
	most  uint64
}

// movePiece is how many bytes are moved at once: some 50 µs.
const movePiece = 512 << 10

func (m *linearMemory) Reallocate(size uint64) []byte {
	if size <= uint64(cap(m.bytes)) {
		m.bytes = m.bytes[:size]
		return m.bytes
	}
	grown := make([]byte, size, max(size, min(m.most, size+size/4))) // room, so that growing page by page moves little
	for at := 0; at < len(m.bytes); at += movePiece {
		copy(grown[at:], m.bytes[at:min(at+movePiece, len(m.bytes))])
	}
	m.bytes = grown
	return m.bytes
}

func (m *linearMemory) Free() { m.bytes = nil }
