//! What the program is made of and patches do not change: plain functions, state, generics, a trait and a panic.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

/// How often `tally` ran: host and patch must count with the same counter.
pub static TALLIES: AtomicU32 = AtomicU32::new(0);

#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    pub words: HashMap<String, u32>,
    pub longest: Option<String>,
}

#[inline(never)]
pub fn tally(text: &str) -> Tally {
    TALLIES.fetch_add(1, Ordering::SeqCst);
    let mut words = HashMap::new();
    for word in text.split_whitespace() {
        *words.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    let longest = words.keys().max_by_key(|word| (word.len(), word.as_str().to_owned())).cloned();
    Tally { words, longest }
}

/// The most frequent words, most frequent first.
#[inline(never)]
pub fn ranking(tally: &Tally) -> Vec<(String, u32)> {
    let mut ranking: Vec<_> = tally.words.iter().map(|(word, count)| (word.clone(), *count)).collect();
    ranking.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    ranking
}

pub trait Shape {
    fn area(&self) -> f64;
    fn name(&self) -> String {
        "shape".to_string()
    }
}

pub struct Square(pub f64);

impl Shape for Square {
    #[inline(never)]
    fn area(&self) -> f64 {
        self.0 * self.0
    }
}

impl fmt::Display for Square {
    #[inline(never)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:.1}]", self.0)
    }
}

#[inline(never)]
pub fn describe(shape: &dyn Shape) -> String {
    format!("{} {:.2}", shape.name(), shape.area())
}

/// Panics for what is not a number.
#[inline(never)]
pub fn parse(text: &str) -> i64 {
    text.parse().unwrap_or_else(|error| panic!("cannot parse {text:?}: {error}"))
}

#[inline(never)]
pub fn each(values: &[i64], callback: &mut dyn FnMut(i64) -> i64) -> i64 {
    values.iter().map(|value| callback(*value)).sum()
}
