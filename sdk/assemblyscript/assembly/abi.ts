/**
 * The functions that the host serves, as abi/ABI.md defines them. A module imports only those its code calls, so a
 * plugin that never emits needs no grant to emit.
 *
 * Addresses and lengths are in bytes. A function that answers an i64 answers the full length of its data: the data was
 * written if it fits into `cap`, else it waits for `result_read`. A negative answer is an error (see errors.ts).
 */

// @ts-ignore: decorator
@external("eshost_v1", "state_get")
export declare function state_get(coll: usize, collLen: i32, key: usize, keyLen: i32, buf: usize, cap: i32): i64;

// @ts-ignore: decorator
@external("eshost_v1", "state_set")
export declare function state_set(coll: usize, collLen: i32, key: usize, keyLen: i32, val: usize, valLen: i32): i32;

// @ts-ignore: decorator
@external("eshost_v1", "state_delete")
export declare function state_delete(coll: usize, collLen: i32, key: usize, keyLen: i32): i32;

// prettier-ignore
// @ts-ignore: decorator
@external("eshost_v1", "state_scan")
export declare function state_scan(
  coll: usize, collLen: i32, prefix: usize, prefixLen: i32, after: usize, afterLen: i32, limit: i32,
  buf: usize, cap: i32,
): i64;

// @ts-ignore: decorator
@external("eshost_v1", "emit")
export declare function emit(ptr: usize, len: i32): i32;

// @ts-ignore: decorator
@external("eshost_v1", "log")
export declare function log(level: i32, ptr: usize, len: i32): void;

// @ts-ignore: decorator
@external("eshost_v1", "fail")
export declare function fail(ptr: usize, len: i32): void;

// @ts-ignore: decorator
@external("eshost_v1", "config_get")
export declare function config_get(key: usize, keyLen: i32, buf: usize, cap: i32): i64;

// @ts-ignore: decorator
@external("eshost_v1", "result_read")
export declare function result_read(buf: usize, cap: i32, offset: i32): i32;

/** The first four bytes of an event's envelope: "ESH1". */
export const ENVELOPE_MAGIC: u32 = 0x31485345;
/** The bytes of an envelope before its slots. */
export const ENVELOPE_FIXED: i32 = 40;
/** The slots of an envelope, in order: id, type, stream, stream type, data, metadata, content type. */
export const ENVELOPE_SLOTS: i32 = 7;

/** The first four bytes of what `emit` takes: "EMT1". */
export const EMIT_MAGIC: u32 = 0x31544d45;
/** The bytes of emit's argument before its slots. */
export const EMIT_FIXED: i32 = 16;
/** The slots of emit's argument, in order: stream, stream type, type, data, metadata, content type. */
export const EMIT_SLOTS: i32 = 6;

/** What `handle` returns. */
export const STATUS_OK: i32 = 0;
export const STATUS_RETRY: i32 = 1;
export const STATUS_REJECT: i32 = 2;

/** The host's negative answers. */
export const ERRNO_NOT_FOUND: i32 = -1;
export const ERRNO_DENIED: i32 = -2;
export const ERRNO_TOO_LARGE: i32 = -3;
export const ERRNO_QUOTA: i32 = -5;
export const ERRNO_INVALID: i32 = -7;

/** How deeply a document may nest. */
export const MAX_DEPTH: i32 = 256;
/** The most documents one scan lists. */
export const MAX_SCAN: i32 = 1000;
