package plugin

import (
	"eshost/abi"
	"eshost/host/event"
	"eshost/host/store"
)

func emit(in *Instance, stack []uint64) {
	b := in.view(stack[0], stack[1])
	status(stack, in.emit(b))
}

// emit checks an event as strictly as the log will, which must not refuse it when the batch commits.
func (in *Instance) emit(b []byte) abi.Errno {
	const most = abi.MaxEmitData + store.MaxMetadataBytes + 4*store.MaxNameBytes + 1<<10 // of all slots and the header
	switch {
	case in.job.fx == nil:
		return abi.ErrnoDenied
	case len(b) > most:
		return abi.ErrnoTooLarge
	case in.job.emits == abi.MaxEmits || in.job.emitBytes+len(b) > abi.MaxEmitBytes:
		return abi.ErrnoQuota
	}
	in.charge(len(b) * fuelPerJSON)
	e, err := abi.DecodeEmit(b)
	if err != nil {
		return abi.ErrnoInvalid
	}
	if len(e.Data) > abi.MaxEmitData || len(e.Metadata) > store.MaxMetadataBytes ||
		max(len(e.Stream), len(e.StreamType), len(e.Type), len(e.ContentType)) > store.MaxNameBytes {
		return abi.ErrnoTooLarge
	}
	if len(e.Metadata) == 0 {
		e.Metadata = []byte("{}")
	}
	if e.ContentType == "" {
		e.ContentType = store.DefaultContentType
	}
	if e.ContentType == store.DefaultContentType && !event.ValidJSON(e.Data) {
		return abi.ErrnoInvalid
	}
	if asAppend(&e).Validate() != nil {
		return abi.ErrnoInvalid
	}
	if err := in.link(&e); err != nil {
		in.stop(err)
	}
	if len(e.Metadata) > store.MaxMetadataBytes {
		return abi.ErrnoTooLarge
	}
	in.job.emits++
	in.job.emitBytes += len(b)
	left := in.leave()
	in.enter(left, in.job.fx.Emit(e))
	return 0
}

// asAppend is the request the event will be part of.
func asAppend(e *event.Emitted) store.AppendRequest {
	return store.AppendRequest{Streams: []store.StreamAppend{{
		Stream: e.Stream, StreamType: e.StreamType, Expected: store.AnyVersion,
		Events: []store.NewEvent{{Type: e.Type, Data: e.Data, Metadata: e.Metadata, ContentType: e.ContentType}},
	}}}
}
