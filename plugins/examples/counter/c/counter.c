// Counts the events of each type, in C, without an SDK: everything that abi/ABI.md asks of a module is in this file.
//
// The count of a type is the document counts/TYPE, a JSON number.

#include <stddef.h>
#include <stdint.h>

// What the module imports.

#define IMPORT(name) __attribute__((import_module("eshost_v1"), import_name(#name)))

IMPORT(state_get) int64_t state_get(const char *coll, int32_t coll_len, const char *key, int32_t key_len, char *buf, int32_t cap);
IMPORT(state_set) int32_t state_set(const char *coll, int32_t coll_len, const char *key, int32_t key_len, const char *val, int32_t val_len);
IMPORT(fail) void fail(const char *text, int32_t len);

enum { OK = 0, RETRY = 1, REJECT = 2 };              // what handle returns
enum { NOT_FOUND = -1, TOO_LARGE = -3, INVALID = -7 }; // what the host may answer

#define TEXT(literal) literal, sizeof literal - 1

static int32_t failed(int32_t status, const char *text, size_t len) {
	fail(text, (int32_t)len);
	return status;
}

// What the module exports, besides its memory.

#define EXPORT(name) __attribute__((export_name(#name)))

EXPORT(eshost_abi_v1) void eshost_abi_v1(void) {}

// The inbox is all memory behind what the linker placed. It grows where it lies.
extern char __heap_base;
static size_t inbox_size;

EXPORT(eshost_inbox) char *eshost_inbox(size_t min) {
	const size_t page = 65536;
	size_t have = __builtin_wasm_memory_size(0) * page - (size_t)&__heap_base;
	if (have < min) {
		if (__builtin_wasm_memory_grow(0, (min - have + page - 1) / page) == (size_t)-1) return NULL; // the host says that there is no room
		have = min;
	}
	inbox_size = have;
	return &__heap_base;
}

// The envelope: a header, the slots' places, the slots. The structs lie in memory as the ABI has them: little endian, without padding.

struct slot {
	uint32_t offset, length;
};

struct envelope {
	uint32_t magic;
	uint16_t header_length, flags;
	uint64_t position, version;
	int64_t time;
	uint32_t attempt, slot_count;
	struct slot slots[];
};

enum { SLOT_TYPE = 1, SLOTS = 7 };

EXPORT(handle) int32_t handle(uint32_t len) {
	const struct envelope *event = (const struct envelope *)&__heap_base;
	if (len > inbox_size || len < sizeof *event + SLOTS * sizeof(struct slot) || event->magic != 0x31485345 || event->slot_count < SLOTS)
		return failed(REJECT, TEXT("this is no envelope of an event"));
	struct slot type = event->slots[SLOT_TYPE];
	const char *key = &__heap_base + type.offset;

	// A count has at most 19 digits, so an answer that does not fit is none.
	char text[20];
	int64_t answer = state_get(TEXT("counts"), key, (int32_t)type.length, text, sizeof text);
	if (answer == TOO_LARGE || answer == INVALID) return failed(REJECT, TEXT("the event's type cannot be a document's key"));
	if (answer < 0 && answer != NOT_FOUND) return failed(RETRY, TEXT("the host did not give the count"));
	if (answer >= (int64_t)sizeof text) return failed(RETRY, TEXT("the stored document is not a count"));

	uint64_t count = 0;
	for (int64_t i = 0; i < answer; i++) {
		if (text[i] < '0' || text[i] > '9') return failed(RETRY, TEXT("the stored document is not a count"));
		count = 10 * count + (uint64_t)(text[i] - '0');
	}
	count++;

	char *end = text + sizeof text, *digit = end;
	do *--digit = (char)('0' + count % 10);
	while (count /= 10);
	if (state_set(TEXT("counts"), key, (int32_t)type.length, digit, (int32_t)(end - digit)) != 0)
		return failed(RETRY, TEXT("the host did not take the count"));
	return OK;
}

// What `eshost check` shows, in a custom section.
__asm__(".section .custom_section.eshost.manifest,\"\",@\n"
        ".ascii \"{\\\"name\\\":\\\"counter\\\",\\\"version\\\":\\\"1.0.0\\\",\\\"collections\\\":[\\\"counts\\\"]}\"\n");
