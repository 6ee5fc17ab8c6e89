//! Compiled twice: for the host, and with `--cfg patch` for the patch, which changes LIMITS.
#![no_std]

use core::hint::black_box;

pub static CANARY: u8 = 7;
pub static LIMITS: [u32; 2] = [1, if cfg!(patch) { 40 } else { 4 }];

#[cfg(not(patch))]
mod host {
    use super::*;

    #[unsafe(no_mangle)]
    pub extern "C" fn host_canary() -> *const u8 {
        black_box(&CANARY)
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn host_limits() -> *const u32 {
        black_box(&LIMITS)[1..].as_ptr()
    }
}

#[cfg(patch)]
mod patch {
    use super::*;
    use core::ffi::c_char;

    unsafe extern "C" {
        fn host_canary() -> *const u8;
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn patch_main() -> *const c_char {
        let same = core::ptr::eq(unsafe { host_canary() }, black_box(&CANARY));
        match (same, black_box(&LIMITS)[1]) {
            (true, 40) => c"one canary, own limits".as_ptr(),
            (true, _) => c"one canary, the host's limits".as_ptr(),
            _ => c"two canaries".as_ptr(),
        }
    }
}
