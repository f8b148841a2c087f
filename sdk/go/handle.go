package eshost

import "errors"

const (
	statusOK     = 0
	statusRetry  = 1
	statusReject = 2
)

var handler func(*Event) error

// Handle registers the plugin's handler. Call it once, in an init function.
func Handle(handle func(*Event) error) {
	if handler != nil {
		panic("eshost.Handle is called twice; a plugin has one handler")
	}
	handler = handle
}

// current is the event being handled: there is one at a time, so it costs no allocation.
var current Event

// run hands one envelope to the handler and reports its failure's text to the host.
//
// A panic is not recovered: Go's runtime writes its text and stack, with files and lines, to standard error, where the
// host reads them, and ends the module, whose memory cannot be trusted any more. It does the same for what cannot be
// recovered, such as a deadlock or memory that is used up.
func run(envelope []byte) int32 {
	current.read(envelope)
	err := handler(&current)
	if err == nil {
		return statusOK
	}
	hostFail(err.Error())
	var f *failure
	if errors.As(err, &f) {
		return f.status
	}
	return statusRetry
}
