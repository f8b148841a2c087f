package plugin

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"eshost/abi"
	"eshost/host/event"
)

const (
	maxName    = 200
	maxMessage = abi.MaxFailText
	maxStack   = 8 << 10
	maxFrames  = 30
)

// said is what the guest had to say about its failure: to people the best there is, else the fallback.
func (in *Instance) said(fallback string) string {
	for _, text := range []string{in.job.fail, in.job.abort, in.output.crashMessage(), in.job.exit} {
		if text != "" {
			return text
		}
	}
	return fallback
}

// trapped is the failure of a guest that crashed.
func (in *Instance) trapped(cause error) *event.Failure {
	trap, _, _ := strings.Cut(cause.Error(), "\n")
	if at := strings.LastIndex(trap, "wasm error: "); at >= 0 {
		trap = trap[at+len("wasm error: "):]
	}
	trap = printable(strings.TrimSuffix(trap, " (recovered by wazero)"), maxMessage)
	f := &event.Failure{Kind: event.FailTrap, Stack: in.trace(cause)}
	switch {
	case trap == "stack overflow":
		return &event.Failure{Kind: event.FailBudget, Message: "its call stack is used up; does it recurse without end?"}
	case in.memoryFull():
		f.Kind = event.FailBudget
		f.Message = fmt.Sprintf("%s (its memory of %d KiB is full: limits.memory)", in.said(trap), in.mem.Size()>>10)
	case in.output.last != "":
		f.Message = in.said(trap + " (the last it wrote: " + in.output.last + ")")
	default:
		f.Message = in.said(trap)
	}
	return f
}

// memoryFull reports that the guest's runtime said so, or that not even one more page is left.
func (in *Instance) memoryFull() bool {
	return bytes.Contains(in.output.crash, []byte("out of memory")) ||
		in.mem != nil && uint64(in.mem.Size())+pageSize > in.module.code.info.MaxMemory
}

// trace lists the functions that were running, innermost first: as the guest's own runtime printed them, which has the
// lines of the source, else as wazero saw them.
func (in *Instance) trace(cause error) string {
	if stack := in.output.crashStack(); stack != "" {
		return stack
	}
	_, frames, ok := strings.Cut(cause.Error(), "wasm stack trace:\n\t")
	if !ok {
		return ""
	}
	var out strings.Builder
	n := 0
	for frame := range strings.SplitSeq(frames, "\n\t") {
		frame, _, _ = strings.Cut(frame, "\n")
		name := functionName(frame)
		if name != frame { // else it says that frames were left out
			name = strings.TrimPrefix(name, in.module.code.program.code.Name()+".")
		}
		if strings.HasPrefix(name, in.module.engine.opts.Meter.Module+".") {
			continue
		}
		if exported, ok := in.module.code.names[name]; ok {
			name = exported
		}
		if name = printable(demangle(name), maxName); out.Len()+len(name) >= maxStack || n == maxFrames {
			break
		}
		if n++; n > 1 {
			out.WriteByte('\n')
		}
		out.WriteString(name)
	}
	return out.String()
}

// functionName takes the signature off one of wazero's frames: "module.name(i32,i32) i64".
func functionName(frame string) string {
	if strings.HasPrefix(frame, "...") {
		return frame
	}
	end := strings.LastIndexByte(frame, '(')
	if strings.HasSuffix(frame, ")") && strings.HasSuffix(frame[:max(end, 0)], ") ") { // several results: ") (i32,i32)"
		end = strings.LastIndexByte(frame[:end-1], '(')
	}
	if end < 0 {
		return frame
	}
	return frame[:end]
}

// printable makes text from a guest safe to show in a terminal, a log and a page: what does not print is escaped, the
// rest is kept, and text of more than limit bytes is cut.
//
// Invariant 6: no guest can forge a log line or send a terminal escape sequence.
func printable[T ~string | ~[]byte](text T, limit int) string {
	cut := len(text) > limit
	if cut {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	s := string(text)
	if !cut && clean(s) {
		return s
	}
	out := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\x`...)
			out = append(out, "0123456789abcdef"[s[i]>>4], "0123456789abcdef"[s[i]&15])
		case strconv.IsPrint(r):
			out = append(out, s[i:i+size]...)
		default:
			quoted := strconv.AppendQuoteRune(nil, r)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		i += size
	}
	if cut {
		out = append(out, "…"...)
	}
	return string(out)
}

func clean(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
