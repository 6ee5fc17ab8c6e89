//! A library of Rust's in a program of C's, which looks functions up by `hot`.
use std::sync::atomic::{AtomicI64, Ordering};

static TAKEN: AtomicI64 = AtomicI64::new(0);

unsafe extern "C" {
    fn hot(function: *const ()) -> *const ();
}

#[unsafe(no_mangle)]
pub extern "C" fn step(n: i64) -> i64 {
    let price: extern "C" fn(i64) -> i64 = unsafe { std::mem::transmute(hot(price as *const ())) };
    price(n) + 1000 * (TAKEN.fetch_add(1, Ordering::Relaxed) + 1)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn price(n: i64) -> i64 {
    n * 2 + 100
}
