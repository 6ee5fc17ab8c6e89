//! Orders: statics, one of them in a function, and a thread-local that is made when it is first used.

use hot::hot;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;

const VERSION: u32 = 0;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    static MINE: RefCell<Vec<String>> = RefCell::new(vec!["first".to_string()]);
}

/// Takes an order.
#[inline(never)]
pub fn order(line: &str) -> String {
    static ORDERS: AtomicU32 = AtomicU32::new(100);
    let (cents, tax) = hot!(tax::with_tax, 10 * line.len() as u64);
    let orders = ORDERS.fetch_add(1, Ordering::Relaxed) + 1;
    LINES.lock().unwrap().push(line.to_string());
    let mine = MINE.with_borrow_mut(|mine| {
        mine.push(line.to_string());
        mine.len()
    });
    let lines = LINES.lock().unwrap().len();
    format!("cart {VERSION} {orders} {lines} {mine}, {tax}, {cents}")
}
