//! A library of what is compiled into others, and what is not.

#[inline]
pub fn inlined(n: u64) -> u64 {
    n + 10
}

pub fn generic<T: Into<u64>>(value: T) -> u64 {
    value.into() * 1000
}

#[inline(never)]
pub fn plain(n: u64) -> u64 {
    n + 200
}
