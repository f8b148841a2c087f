//! The functions of `abi.rs` for native tests: they go to the fake host of `testing`, as pointers and lengths do in a module.

use crate::errors::Errno;
use crate::testing::{with_current, Answer};
use std::slice;
use std::str;

unsafe fn bytes<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
    slice::from_raw_parts(ptr, len)
}

unsafe fn text<'a>(ptr: *const u8, len: usize) -> &'a str {
    str::from_utf8_unchecked(bytes(ptr, len)) // this crate gives only strings
}

fn code(answer: Result<(), Errno>) -> i32 {
    match answer {
        Ok(()) => 0,
        Err(errno) => errno.code(),
    }
}

/// Writes what fits, or has the host keep it for `result_read`.
unsafe fn give(answer: Answer, buf: *mut u8, cap: usize) -> i64 {
    match answer {
        Err(errno) => i64::from(errno.code()),
        Ok(data) => {
            let len = data.len();
            if len <= cap {
                buf.copy_from_nonoverlapping(data.as_ptr(), len);
            } else {
                with_current("result_read", |host| host.kept = data);
            }
            len as i64
        }
    }
}

pub unsafe fn state_get(coll: *const u8, coll_len: usize, key: *const u8, key_len: usize, buf: *mut u8, cap: usize) -> i64 {
    let answer = with_current("state_get", |host| host.state_get(text(coll, coll_len), text(key, key_len)));
    give(answer, buf, cap)
}

pub unsafe fn state_set(coll: *const u8, coll_len: usize, key: *const u8, key_len: usize, val: *const u8, val_len: usize) -> i32 {
    code(with_current("state_set", |host| host.state_set(text(coll, coll_len), text(key, key_len), bytes(val, val_len))))
}

pub unsafe fn state_delete(coll: *const u8, coll_len: usize, key: *const u8, key_len: usize) -> i32 {
    code(with_current("state_delete", |host| host.state_delete(text(coll, coll_len), text(key, key_len))))
}

#[rustfmt::skip]
#[allow(clippy::too_many_arguments)]
pub unsafe fn state_scan(
    coll: *const u8, coll_len: usize, prefix: *const u8, prefix_len: usize, after: *const u8, after_len: usize,
    limit: usize, buf: *mut u8, cap: usize,
) -> i64 {
    let answer = with_current("state_scan", |host| {
        host.state_scan(text(coll, coll_len), text(prefix, prefix_len), text(after, after_len), limit)
    });
    give(answer, buf, cap)
}

pub unsafe fn emit(ptr: *const u8, len: usize) -> i32 {
    code(with_current("emit", |host| host.emit(bytes(ptr, len))))
}

pub unsafe fn log(level: i32, ptr: *const u8, len: usize) {
    with_current("log", |host| host.log(level, text(ptr, len)));
}

pub unsafe fn fail(ptr: *const u8, len: usize) {
    with_current("fail", |host| host.fail_text = text(ptr, len).to_string());
}

pub unsafe fn config_get(key: *const u8, key_len: usize, buf: *mut u8, cap: usize) -> i64 {
    let answer = with_current("config_get", |host| host.config_get(text(key, key_len)));
    give(answer, buf, cap)
}

pub unsafe fn result_read(buf: *mut u8, cap: usize, offset: usize) -> i32 {
    with_current("result_read", |host| {
        let rest = host.kept.get(offset..).unwrap_or_default();
        let len = rest.len().min(cap);
        buf.copy_from_nonoverlapping(rest.as_ptr(), len);
        len as i32
    })
}
