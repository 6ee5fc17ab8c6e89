//! A library that another one is compiled into in part.
use hot::hot;
use std::cell::Cell;
use std::collections::HashMap;

thread_local! {
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

#[inline(never)]
pub fn total(n: u64) -> String {
    let mut map = HashMap::new();
    for i in 0..n {
        *map.entry(i % 2).or_insert(0) += price::inlined(i);
    }
    let seen = SEEN.with(|seen| seen.replace(seen.get() + 1));
    let sum: u64 = map.values().sum();
    format!("{} {sum} {} {seen}", macros::package!(), hot!(price::plain, n) + price::generic(n))
}
