//! Safe calls of the host's functions: strings and vectors instead of pointers and lengths.

use crate::abi;
use crate::errors::Errno;

/// Most documents are smaller, so most reads are one call.
const FIRST_BUFFER: usize = 512;

pub fn state_get(collection: &str, key: &str) -> Result<Vec<u8>, Errno> {
    answer(|buf, cap| unsafe { abi::state_get(collection.as_ptr(), collection.len(), key.as_ptr(), key.len(), buf, cap) })
}

pub fn state_set(collection: &str, key: &str, value: &[u8]) -> Result<(), Errno> {
    done(unsafe { abi::state_set(collection.as_ptr(), collection.len(), key.as_ptr(), key.len(), value.as_ptr(), value.len()) })
}

pub fn state_delete(collection: &str, key: &str) -> Result<(), Errno> {
    done(unsafe { abi::state_delete(collection.as_ptr(), collection.len(), key.as_ptr(), key.len()) })
}

pub fn state_scan(collection: &str, prefix: &str, after: &str, limit: usize) -> Result<Vec<u8>, Errno> {
    answer(|buf, cap| unsafe {
        abi::state_scan(
            collection.as_ptr(),
            collection.len(),
            prefix.as_ptr(),
            prefix.len(),
            after.as_ptr(),
            after.len(),
            limit,
            buf,
            cap,
        )
    })
}

pub fn emit(argument: &[u8]) -> Result<(), Errno> {
    done(unsafe { abi::emit(argument.as_ptr(), argument.len()) })
}

pub fn log(level: i32, text: &str) {
    unsafe { abi::log(level, text.as_ptr(), text.len()) }
}

pub fn fail(text: &str) {
    unsafe { abi::fail(text.as_ptr(), text.len()) }
}

pub fn config_get(key: &str) -> Result<Vec<u8>, Errno> {
    answer(|buf, cap| unsafe { abi::config_get(key.as_ptr(), key.len(), buf, cap) })
}

fn done(code: i32) -> Result<(), Errno> {
    match code {
        0 => Ok(()),
        code => Err(Errno::from_code(code)),
    }
}

/// Makes a call that returns data. What does not fit into the first buffer is kept by the host and read in a second call.
fn answer(call: impl FnOnce(*mut u8, usize) -> i64) -> Result<Vec<u8>, Errno> {
    let mut data: Vec<u8> = Vec::with_capacity(FIRST_BUFFER);
    let len = call(data.as_mut_ptr(), FIRST_BUFFER);
    if len < 0 {
        return Err(Errno::from_code(len as i32));
    }
    let len = len as usize;
    if len > FIRST_BUFFER {
        data.reserve_exact(len);
        let read = unsafe { abi::result_read(data.as_mut_ptr(), len, 0) };
        assert_eq!(read as usize, len, "the host kept less than it said");
    }
    // Safety: the host has written `len` bytes, and the capacity is at least that.
    unsafe { data.set_len(len) };
    Ok(data)
}
