package delivery

import "eshost/host/event"

// slot is what a lane knows of a document: what it read there, or what it wrote.
type slot struct {
	id       string
	value    []byte
	exists   bool
	written  bool
	position event.Position // of the event that wrote it last
}

const slotOverhead = 128 // of a slot and its place in the map, in bytes

// slots hands out slots from blocks, which costs less than making each one.
type slots struct {
	blocks [][]slot
	used   int // of all blocks
}

const slotBlock = 256

func (p *slots) next() *slot {
	b := p.used / slotBlock
	if b == len(p.blocks) {
		p.blocks = append(p.blocks, make([]slot, slotBlock))
	}
	s := &p.blocks[b][p.used%slotBlock]
	p.used++
	return s
}

// reset takes all slots back. What they pointed to is let go.
func (p *slots) reset() {
	const keep = 16 // blocks
	for i := range min(len(p.blocks), (p.used+slotBlock-1)/slotBlock) {
		if i < keep {
			clear(p.blocks[i])
		}
	}
	if len(p.blocks) > keep {
		clear(p.blocks[keep:])
		p.blocks = p.blocks[:keep]
	}
	p.used = 0
}

// write is an event's write before its handler has returned.
type write struct {
	id    string
	value []byte // nil deletes
	slot  *slot  // the lane's of that document, nil if it has none yet
}

// writes are an event's writes, the last one of each document.
type writes struct {
	list []write
	at   map[string]int // by id, once there are more than a few
}

const fewWrites = 8

func (w *writes) reset() {
	if len(w.list) > fewWrites {
		w.list, w.at = nil, nil
	}
	clear(w.list)
	w.list = w.list[:0]
}

// find returns the write of a document, nil if there is none.
func (w *writes) find(id []byte) *write {
	if len(w.at) > 0 {
		if i, ok := w.at[string(id)]; ok {
			return &w.list[i]
		}
		return nil
	}
	for i := len(w.list) - 1; i >= 0; i-- {
		if w.list[i].id == string(id) {
			return &w.list[i]
		}
	}
	return nil
}

// add takes the first write of a document.
func (w *writes) add(first write) {
	w.list = append(w.list, first)
	switch n := len(w.list); {
	case n == fewWrites+1:
		w.at = make(map[string]int, 4*fewWrites)
		for i := range w.list {
			w.at[w.list[i].id] = i
		}
	case n > fewWrites:
		w.at[first.id] = n - 1
	}
}

func emittedSize(e *event.Emitted) int {
	const fixed = 256
	return fixed + len(e.Stream) + len(e.StreamType) + len(e.Type) + len(e.Data) + len(e.Metadata) + len(e.ContentType)
}
