package postgres

import (
	"strings"

	"eshost/host/event"
)

// watermark proves which positions are final from successive scans of who holds the events table's
// lock. It does no I/O; doc.go has the proof.
//
// A transaction that was first seen in one scan had not drawn its first position when the sequence was
// read for the scan before, or it would have held the lock then. So it can commit nothing at or below
// that high water: its floor.
type watermark struct {
	highWater event.Position            // of the last scan
	floors    map[string]event.Position // of the holders of the last scan
}

// restart forgets everything: holders of another connection or of another start of the server may go
// by other names. Everything at or below proven is final.
func (w *watermark) restart(proven event.Position) {
	w.highWater, w.floors = proven, nil
}

// scan takes the holders that a look at the locks found, begun after the sequence stood at highWater.
// Every position at or below the answer is final for statements that begin after that look.
func (w *watermark) scan(highWater event.Position, holders []string) event.Position {
	adopted := w.highWater
	for id, floor := range w.floors {
		if !isPrepared(id) {
			adopted = min(adopted, floor)
		}
	}
	floors := make(map[string]event.Position, len(holders))
	mark := highWater
	for _, id := range holders {
		floor, known := w.floors[id]
		switch {
		case known:
		case isPrepared(id):
			// PREPARE TRANSACTION may have given a known holder this name, before or during the look.
			floor = adopted
		default:
			floor = w.highWater
		}
		floors[id] = floor
		mark = min(mark, floor)
	}
	w.highWater, w.floors = highWater, floors
	return mark
}

// blockers lists the holders that may still commit at or below a position.
func (w *watermark) blockers(p event.Position) []string {
	var ids []string
	for id, floor := range w.floors {
		if floor < p {
			ids = append(ids, id)
		}
	}
	return ids
}

// isPrepared knows the form "-1/xid", which a prepared transaction has after a restart of the server
// (and, before the minor releases of October 2021, from the start). Others keep the name they had.
func isPrepared(id string) bool { return strings.HasPrefix(id, "-1/") }
