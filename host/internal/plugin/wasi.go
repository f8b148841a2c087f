package plugin

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"eshost/host/event"
)

// The part of WASI preview 1 that makes sense here is small: no files, no network, no arguments, no environment. It is not
// wazero's own because that does as much work in one call as memory has room to ask for: fd_write with four million
// buffers, or poll_oneoff with 700,000 subscriptions, takes 50 ms in which no fuel is burned, so that a loop of them would
// run minutes past its time limit. Here every call's work is bounded or charged.

const wasiModule = "wasi_snapshot_preview1"

// WASI's error numbers that are used.
const (
	wasiSuccess = 0
	wasiBadFile = 8
	wasiInvalid = 28
	wasiNoSys   = 52
	wasiPipe    = 70 // cannot seek
)

// wasiFuncs serves all of preview 1, so that nothing fails to link; what would need a file finds none.
func wasiFuncs() []hostFunc {
	f := func(name, params string, call func(*Instance, []uint64) uint64) hostFunc {
		return hostFunc{wasiModule, name, types(params), types("i"), "", func(in *Instance, stack []uint64) { stack[0] = call(in, stack) }}
	}
	always := func(errno uint64) func(*Instance, []uint64) uint64 {
		return func(*Instance, []uint64) uint64 { return errno }
	}
	badFile, ok := always(wasiBadFile), always(wasiSuccess)
	return []hostFunc{
		f("args_get", "ii", ok),
		f("args_sizes_get", "ii", wasiEmptyList),
		f("environ_get", "ii", ok),
		f("environ_sizes_get", "ii", wasiEmptyList),
		f("clock_res_get", "ii", wasiClockResolution),
		f("clock_time_get", "iIi", wasiClockTime),
		f("random_get", "ii", wasiRandom),
		f("sched_yield", "", ok),
		f("poll_oneoff", "iiii", wasiPoll),
		{wasiModule, "proc_exit", types("i"), nil, "", wasiExit},
		f("proc_raise", "i", always(wasiNoSys)),

		f("fd_write", "iiii", wasiWrite),
		f("fd_read", "iiii", wasiRead),
		f("fd_fdstat_get", "ii", wasiFileStatus),
		f("fd_filestat_get", "ii", wasiFileAttributes),
		f("fd_fdstat_set_flags", "ii", wasiOnStandard(wasiSuccess)),
		f("fd_close", "i", wasiOnStandard(wasiSuccess)),
		f("fd_seek", "iIii", wasiOnStandard(wasiPipe)),
		f("fd_tell", "ii", wasiOnStandard(wasiPipe)),
		f("fd_advise", "iIIi", badFile),
		f("fd_allocate", "iII", badFile),
		f("fd_datasync", "i", badFile),
		f("fd_fdstat_set_rights", "iII", badFile),
		f("fd_filestat_set_size", "iI", badFile),
		f("fd_filestat_set_times", "iIIi", badFile),
		f("fd_pread", "iiiIi", badFile),
		f("fd_prestat_get", "ii", badFile),
		f("fd_prestat_dir_name", "iii", badFile),
		f("fd_pwrite", "iiiIi", badFile),
		f("fd_readdir", "iiiIi", badFile),
		f("fd_renumber", "ii", badFile),
		f("fd_sync", "i", badFile),
		f("path_create_directory", "iii", badFile),
		f("path_filestat_get", "iiiii", badFile),
		f("path_filestat_set_times", "iiiiIIi", badFile),
		f("path_link", "iiiiiii", badFile),
		f("path_open", "iiiiiIIii", badFile),
		f("path_readlink", "iiiiii", badFile),
		f("path_remove_directory", "iii", badFile),
		f("path_rename", "iiiiii", badFile),
		f("path_symlink", "iiiii", badFile),
		f("path_unlink_file", "iii", badFile),
		f("sock_accept", "iii", badFile),
		f("sock_recv", "iiiiii", badFile),
		f("sock_send", "iiiii", badFile),
		f("sock_shutdown", "ii", badFile),
	}
}

func wasiEmptyList(in *Instance, stack []uint64) uint64 {
	binary.LittleEndian.PutUint32(in.view(stack[0], 4), 0)
	binary.LittleEndian.PutUint32(in.view(stack[1], 4), 0)
	return wasiSuccess
}

// The clocks: the wall clock stands at the event's time; the others begin at a second and move only when the guest waits,
// so that waiting comes to an end.
const (
	wasiRealtime = 0
	wasiClocks   = 4
	longestSleep = 365 * 24 * time.Hour // of one event
)

func wasiClockResolution(in *Instance, stack []uint64) uint64 {
	if uint32(stack[0]) >= wasiClocks {
		return wasiInvalid
	}
	binary.LittleEndian.PutUint64(in.view(stack[1], 8), uint64(time.Microsecond))
	return wasiSuccess
}

func wasiClockTime(in *Instance, stack []uint64) uint64 {
	if uint32(stack[0]) >= wasiClocks {
		return wasiInvalid
	}
	binary.LittleEndian.PutUint64(in.view(stack[2], 8), uint64(in.clock(uint32(stack[0]))))
	return wasiSuccess
}

func (in *Instance) clock(id uint32) time.Duration {
	if id != wasiRealtime {
		return time.Second + in.job.slept
	}
	if in.job.event == nil {
		return 0
	}
	return time.Duration(in.job.event.Time.UnixNano())
}

func wasiRandom(in *Instance, stack []uint64) uint64 {
	b := in.view(stack[0], stack[1])
	in.charge(len(b))
	_, _ = in.randomness().Read(b) // never fails
	return wasiSuccess
}

// randomness is the job's source: from the event's id, or from the module's digest while the instance starts. The same
// event sees the same bytes whenever and wherever it is handled.
func (in *Instance) randomness() *rand.ChaCha8 {
	if in.job.seeded {
		return in.random
	}
	of := "module " + in.module.Digest()
	if in.job.event != nil {
		of = "event " + in.job.event.ID
	}
	in.random, in.job.seeded = rand.NewChaCha8(sha256.Sum256([]byte(of))), true
	return in.random
}

func wasiExit(in *Instance, stack []uint64) {
	in.job.exit = fmt.Sprintf("it called exit(%d)", int32(stack[0]))
	in.output.flush(in)
	in.stop(&event.Failure{Kind: event.FailTrap, Message: in.said("")})
}

// wasiOnStandard answers errno for standard input, output and error.
func wasiOnStandard(errno uint64) func(*Instance, []uint64) uint64 {
	return func(_ *Instance, stack []uint64) uint64 {
		if uint32(stack[0]) > 2 {
			return wasiBadFile
		}
		return errno
	}
}

const (
	maxVectors = 1024     // buffers of one read or write
	maxWrite   = 64 << 10 // bytes of one write; the caller writes the rest in its next call
)

func wasiWrite(in *Instance, stack []uint64) uint64 {
	fd := uint32(stack[0])
	if fd != 1 && fd != 2 {
		return wasiBadFile
	}
	vectors := in.view(stack[1], 8*min(uint64(uint32(stack[2])), maxVectors))
	written := 0
	for ; len(vectors) > 0 && written < maxWrite; vectors = vectors[8:] {
		b := in.view(uint64(binary.LittleEndian.Uint32(vectors)), uint64(binary.LittleEndian.Uint32(vectors[4:])))
		b = b[:min(len(b), maxWrite-written)]
		in.output.write(in, int(fd), b)
		written += len(b)
	}
	in.charge(written * fuelPerPrint)
	binary.LittleEndian.PutUint32(in.view(stack[3], 4), uint32(written))
	return wasiSuccess
}

// wasiRead finds standard input at its end.
func wasiRead(in *Instance, stack []uint64) uint64 {
	if uint32(stack[0]) != 0 {
		return wasiBadFile
	}
	binary.LittleEndian.PutUint32(in.view(stack[3], 4), 0)
	return wasiSuccess
}

// wasiFileStatus calls the standard streams character devices that can be read or written.
func wasiFileStatus(in *Instance, stack []uint64) uint64 {
	fd := uint32(stack[0])
	if fd > 2 {
		return wasiBadFile
	}
	const characterDevice, rightRead, rightWrite = 2, 1 << 1, 1 << 6
	out := in.view(stack[1], 24)
	clear(out)
	out[0] = characterDevice
	out[8] = rightWrite
	if fd == 0 {
		out[8] = rightRead
	}
	return wasiSuccess
}

func wasiFileAttributes(in *Instance, stack []uint64) uint64 {
	if uint32(stack[0]) > 2 {
		return wasiBadFile
	}
	const characterDevice = 2
	out := in.view(stack[1], 64)
	clear(out)
	out[16] = characterDevice
	return wasiSuccess
}

// wasiPoll lets every subscription happen at once: clocks have rung, files are bad.
func wasiPoll(in *Instance, stack []uint64) uint64 {
	const subscription, occurrence, maxSubscriptions = 48, 32, 1024
	n := uint64(uint32(stack[2]))
	if n == 0 || n > maxSubscriptions {
		return wasiInvalid
	}
	subs, events := in.view(stack[0], n*subscription), in.view(stack[1], n*occurrence)
	in.charge(len(subs))
	var wait time.Duration
	for i := range int(n) {
		sub, out := subs[i*subscription:][:subscription], events[i*occurrence:][:occurrence]
		user, kind := [8]byte(sub), sub[8]
		if kind == 0 {
			wait = max(wait, in.pollClock(sub))
		}
		clear(out)
		copy(out, user[:])
		if out[10] = kind; kind != 0 {
			out[8] = wasiBadFile
		}
	}
	in.job.slept = min(in.job.slept+wait, longestSleep)
	binary.LittleEndian.PutUint32(in.view(stack[3], 4), uint32(n))
	return wasiSuccess
}

// pollClock is how long a clock's subscription waits.
func (in *Instance) pollClock(sub []byte) time.Duration {
	const absolute = 1
	wait := time.Duration(min(binary.LittleEndian.Uint64(sub[24:]), 1<<62))
	if binary.LittleEndian.Uint16(sub[40:])&absolute != 0 {
		wait -= in.clock(binary.LittleEndian.Uint32(sub[16:]))
	}
	return max(0, min(wait, longestSleep))
}
