package abitest

import (
	"fmt"
	"strings"

	"eshost/abi"
)

// startChecks start an instance and ask for buffers.
func startChecks() []check {
	return []check{
		{"an instance starts", "0 is ok; anything else, with a text given to `fail`, means that the module cannot run", true, (*kit).starts},
		{"the inbox lies in memory", "returns the address of a buffer of at least `min` bytes that the host may write.", true, (*kit).inboxInMemory},
	}
}

// starting is a fresh instance, and how it failed to start.
func (k *kit) starting() error {
	if err := k.reset(); err != nil {
		return err
	}
	return k.module.instantiate(k.context())
}

func (k *kit) starts() error {
	if err := k.starting(); err != nil {
		return differs("an instance that starts", "%v%s", err, said(k.module))
	}
	return nil
}

// said is what a module that crashed has to say about it.
func said(m *Module) string {
	if m.stuck {
		return ""
	}
	text := strings.TrimSpace(m.failed + " " + m.Output.String())
	if text == "" {
		return ""
	}
	return "; it said: " + shorten(text)
}

func (k *kit) inboxInMemory() error {
	for _, size := range []uint32{1, abi.MinInboxBuffer, 64 << 10} {
		if err := k.starting(); err != nil {
			return err
		}
		if err := k.inbox(size); err != nil {
			return err
		}
	}
	return nil
}

// inboxGrows asks for ever larger buffers, and for a small one after them, writes all of each, and wants an event to do after
// that what it does in a fresh instance.
func (k *kit) inboxGrows() error {
	if err := k.starting(); err != nil {
		return err
	}
	before := k.deliver(&k.samples[0])
	if err := k.starting(); err != nil {
		return err
	}
	for _, size := range []uint32{abi.MinInboxBuffer, 100_000, 2 << 20, 1000} {
		if err := k.inbox(size); err != nil {
			return err
		}
	}
	if after := k.deliver(&k.samples[0]); !after.same(before) {
		return firstDifference(before.String(), after.String())
	}
	return nil
}

// inbox asks for a buffer and fills it.
func (k *kit) inbox(size uint32) error {
	want := fmt.Sprintf("a buffer of %d bytes inside the memory", size)
	if err := k.module.grow(k.context(), size); err != nil {
		return differs(want, "%v%s", err, said(k.module))
	}
	at, memory := k.module.instance.inbox, k.module.instance.module.Memory()
	if at == 0 || uint64(at)+uint64(size) > uint64(memory.Size()) {
		return differs(want, "the address %d, in a memory of %d bytes", at, memory.Size())
	}
	b, _ := memory.Read(at, size)
	litter(b)
	return nil
}

// litter writes what nothing may depend on.
func litter(b []byte) {
	for i := range b {
		b[i] = 0xa5
	}
}
