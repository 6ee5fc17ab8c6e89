//! Taxes: a static and a thread-local that is there from the start.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

const VERSION: u32 = 0;

static CALLS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static MINE: Cell<u32> = const { Cell::new(0) };
}

/// What is to be paid, and what this crate has to say.
#[inline(never)]
pub fn with_tax(cents: u64) -> (u64, String) {
    if cents == 0 {
        panic!("tax {VERSION} of nothing");
    }
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    MINE.set(MINE.get() + 1);
    (cents + cents / 5, format!("tax {VERSION} {calls} {}", MINE.get()))
}
