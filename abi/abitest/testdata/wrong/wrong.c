// A guest that keeps to the ABI, but for one thing: -DWRONG=number chooses which. kit_test.go compiles it, and expects the
// kit to find each.

#include <stddef.h>
#include <stdint.h>

enum wrong {
	NOTHING, INBOX_FIXED, INBOX_OUTSIDE, INBOX_MOVES, STATUS_SEVEN, SILENT_TRAP, OTHER_TYPE_TRAPS, EMPTY_TRAPS, LARGE_TRAPS, NEGATIVE_TIME_TRAPS,
	SEVEN_SLOTS_ONLY, FIXED_LAYOUT, STATE_IN_MEMORY, TRUSTS_REST_OF_INBOX, OUTSIDE_ADDRESS, LARGE_ANSWER_TRAPS, REFUSAL_TRAPS, ENDLESS_LOOP,
	ENDLESS_RECURSION, ENDLESS_INIT, FAILING_INIT, BINARY_TREE,
};

#define IMPORT(name) __attribute__((import_module("eshost_v1"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
IMPORT(state_get) int64_t state_get(const char *coll, int32_t coll_len, const char *key, int32_t key_len, char *buf, int32_t cap);
IMPORT(state_set) int32_t state_set(const char *coll, int32_t coll_len, const char *key, int32_t key_len, const char *val, int32_t val_len);
IMPORT(fail) void fail(const char *text, int32_t len);

EXPORT(eshost_abi_v1) void eshost_abi_v1(void) {}

static volatile int never; // what the compiler must not reason about

static void loop(void) {
	while (!never) {}
}

__attribute__((noinline)) static int recurse(int depth) { return never ? depth : recurse(depth + 1) + 1; }

// Without a loop, and never deep, but long.
__attribute__((noinline)) static int tree(int depth) { return depth == 0 ? never : tree(depth - 1) + tree(depth - 1); }

EXPORT(eshost_init) int32_t eshost_init(void) {
	if (WRONG == ENDLESS_INIT) loop();
	if (WRONG == FAILING_INIT) {
		fail("the setting url is missing", 26);
		return 1;
	}
	return 0;
}

extern char __heap_base;
static char *inbox;
static char fixed[4096];
enum { fixed_header = 40 };
static size_t size;

EXPORT(eshost_inbox) char *eshost_inbox(size_t min) {
	size_t page = 65536, have = __builtin_wasm_memory_size(0) * page - (size_t)&__heap_base;
	if (WRONG == INBOX_FIXED) return inbox = fixed;
	if (WRONG == INBOX_OUTSIDE) return inbox = &__heap_base + have;
	if (have < min + page) __builtin_wasm_memory_grow(0, (min + page - have + page - 1) / page);
	size = min;
	if (WRONG == INBOX_MOVES && inbox) return &__heap_base + 1024; // handle goes on with the old one
	return inbox = &__heap_base;
}

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

static int is(const char *text, size_t len, const char *begin) {
	for (size_t i = 0; begin[i]; i++)
		if (i == len || text[i] != begin[i]) return 0;
	return 1;
}

EXPORT(handle) int32_t handle(uint32_t len) {
	const struct envelope *e = (const struct envelope *)inbox;
	if (e->magic != 0x31485345) {
		fail("no envelope", 11);
		return WRONG == INBOX_MOVES ? 9 : 2;
	}
	const char *stream = inbox + e->slots[2].offset, *type = inbox + e->slots[1].offset;
	if (WRONG == FIXED_LAYOUT) stream = inbox + e->header_length + e->slots[0].length + e->slots[1].length;
	static char digit = '0';
	if (digit < '9') digit++;
	if (WRONG == STATUS_SEVEN) return 7;
	if (WRONG == SILENT_TRAP) __builtin_trap();
	if (WRONG == OTHER_TYPE_TRAPS && !is(type, e->slots[1].length, "Sample")) __builtin_trap();
	if (WRONG == EMPTY_TRAPS && e->slots[4].length == 0) __builtin_trap();
	if (WRONG == LARGE_TRAPS && e->slots[4].length > 100000) __builtin_trap();
	if (WRONG == NEGATIVE_TIME_TRAPS && e->time < 0) __builtin_trap();
	if (WRONG == SEVEN_SLOTS_ONLY && e->slot_count != 7) return 1;
	if (WRONG == TRUSTS_REST_OF_INBOX) {
		if (size >= 4096 && len < size && inbox[len] != 0) return 1;
		static char stream_copy[512];
		for (uint32_t i = 0; i < e->slots[2].length && i < sizeof stream_copy; i++) stream_copy[i] = stream[i];
		stream = stream_copy;
		for (uint32_t i = fixed_header + sizeof(struct slot) * 7; i < len; i++) inbox[i] = 0;
	}
	if (WRONG == OUTSIDE_ADDRESS) state_set("c", 1, (const char *)0x7fffffff, 10, "1", 1);
	if (WRONG == ENDLESS_LOOP) loop();
	if (WRONG == ENDLESS_RECURSION && recurse(0)) return 1;
	if (WRONG == BINARY_TREE && tree(29)) return 1;

	char before[16];
	int64_t answer = state_get("c", 1, stream, (int32_t)e->slots[2].length, before, sizeof before);
	if (WRONG == LARGE_ANSWER_TRAPS && answer > (int64_t)sizeof before) __builtin_trap();
	if (WRONG == REFUSAL_TRAPS && answer < -1) __builtin_trap();
	return state_set("c", 1, stream, (int32_t)e->slots[2].length, WRONG == STATE_IN_MEMORY ? &digit : "1", 1) == 0 ? 0 : 1;
}
