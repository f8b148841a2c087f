package eshost

import (
	"encoding/binary"
	"unsafe"
)

// Document is one document that StateScan found.
type Document struct {
	Key  string
	Data []byte // a JSON value
}

// StateGet returns the document under key, and whether there is one. It sees what this plugin wrote before, in this
// event or an earlier one. A plugin that uses the State functions needs "state" in its allow list.
func StateGet(collection, key string) (data []byte, found bool, err error) {
	data, errno := answer(func(buf unsafe.Pointer, size uint32) int64 {
		return hostStateGet(collection, key, buf, size)
	})
	return lookup(data, errno, "state_get", collection, key)
}

// StateSet writes the document under key: a JSON value of at most 1 MiB. A collection's name has at most 128 bytes, a
// key 1,024. It takes effect when the handler returns nil.
func StateSet(collection, key string, data []byte) error {
	return done(hostStateSet(collection, key, unsafe.Pointer(unsafe.SliceData(data)), uint32(len(data))), "state_set", collection, key)
}

// StateDelete deletes the document under key. There need not be one. It takes effect when the handler returns nil.
func StateDelete(collection, key string) error {
	return done(hostStateDelete(collection, key), "state_delete", collection, key)
}

// StateScan returns at most limit documents (1 to 1,000) whose keys begin with prefix and are greater than after, in byte
// order of their keys. Both may be empty. For the next page, give the last key as after.
func StateScan(collection, prefix, after string, limit int) ([]Document, error) {
	list, errno := answer(func(buf unsafe.Pointer, size uint32) int64 {
		return hostStateScan(collection, prefix, after, uint32(limit), buf, size)
	})
	if errno != 0 {
		return nil, &HostError{"state_scan", []string{collection, prefix}, errno}
	}
	return decodeScan(list), nil
}

// decodeScan reads what the ABI's state_scan returns. The documents' data aliases list.
func decodeScan(list []byte) []Document {
	number := func() uint32 {
		n := binary.LittleEndian.Uint32(list)
		list = list[4:]
		return n
	}
	docs := make([]Document, number())
	for i := range docs {
		keySize, dataSize := number(), number()
		docs[i] = Document{Key: string(list[:keySize]), Data: list[keySize : keySize+dataSize : keySize+dataSize]}
		list = list[keySize+dataSize:]
	}
	return docs
}
