use hot::hot;
use std::sync::atomic::{AtomicU64, Ordering};

include!(concat!(env!("OUT_DIR"), "/rates.rs"));

static ANSWERS: AtomicU64 = AtomicU64::new(0);

#[inline(never)]
pub fn answer(line: &str) -> String {
    let number = ANSWERS.fetch_add(1, Ordering::Relaxed) + 1;
    let Ok(n) = line.parse() else {
        return std::panic::catch_unwind(|| panic!("no {line}")).map_or_else(|_| format!("{number} caught"), |()| String::new());
    };
    let flavour = concat!(env!("APP_FLAVOUR"), " ", env!("CARGO_PKG_VERSION"));
    format!("{number} {flavour} {RATE} {} {}", hot!(model::total, n), hot!(own, n))
}

#[inline(never)]
fn own(n: u64) -> u64 {
    price::generic(n as u32) + 5
}
