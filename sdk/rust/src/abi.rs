//! All that a module imports from the host: `eshost_v1` in abi/ABI.md. The linker drops what a plugin
//! does not use, so it needs no grant for it. `stub_abi.rs` has the same functions for native tests.

#[link(wasm_import_module = "eshost_v1")]
extern "C" {
    pub fn state_get(coll: *const u8, coll_len: usize, key: *const u8, key_len: usize, buf: *mut u8, cap: usize) -> i64;
    pub fn state_set(coll: *const u8, coll_len: usize, key: *const u8, key_len: usize, val: *const u8, val_len: usize) -> i32;
    pub fn state_delete(coll: *const u8, coll_len: usize, key: *const u8, key_len: usize) -> i32;
    #[rustfmt::skip]
    pub fn state_scan(
        coll: *const u8,
        coll_len: usize,
        prefix: *const u8,
        prefix_len: usize,
        after: *const u8,
        after_len: usize,
        limit: usize,
        buf: *mut u8,
        cap: usize,
    ) -> i64;
    pub fn emit(ptr: *const u8, len: usize) -> i32;
    pub fn log(level: i32, ptr: *const u8, len: usize);
    pub fn fail(ptr: *const u8, len: usize);
    pub fn config_get(key: *const u8, key_len: usize, buf: *mut u8, cap: usize) -> i64;
    pub fn result_read(buf: *mut u8, cap: usize, offset: usize) -> i32;
}
