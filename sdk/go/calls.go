package eshost

import (
	"slices"
	"unsafe"
)

// firstBuffer is where the host's answers go first. Most documents are smaller, so most reads are one call.
var firstBuffer [4096]byte

// answer makes a call that returns data, and copies the data. What does not fit into the first buffer is kept by the
// host and read in a second call.
func answer(call func(buf unsafe.Pointer, size uint32) int64) ([]byte, Errno) {
	n := call(unsafe.Pointer(&firstBuffer), uint32(len(firstBuffer)))
	if n < 0 {
		return nil, Errno(n)
	}
	data := make([]byte, n)
	if n <= int64(len(firstBuffer)) {
		copy(data, firstBuffer[:n])
		return data, 0
	}
	if got := hostResultRead(unsafe.Pointer(unsafe.SliceData(data)), uint32(n), 0); int64(got) != n {
		panic("the host kept less than it said")
	}
	return data, 0
}

// lookup tells what is not there from what went wrong.
func lookup(data []byte, errno Errno, function string, subject ...string) ([]byte, bool, error) {
	switch errno {
	case 0:
		return data, true, nil
	case ErrNotFound:
		return nil, false, nil
	}
	return nil, false, &HostError{function, slices.Clone(subject), errno}
}

func done(code int32, function string, subject ...string) error {
	if code == 0 {
		return nil
	}
	return &HostError{function, slices.Clone(subject), Errno(code)} // cloned, so that a call that succeeds allocates nothing
}
