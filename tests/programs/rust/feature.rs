//! The part of the program that a person edits while it runs.

use engine::Shape;
use std::fmt::Write;

struct Dropped<'a>(&'a str);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        println!("dropped {}", self.0);
    }
}

struct Circle(f64);

impl Shape for Circle {
    fn area(&self) -> f64 {
        std::f64::consts::PI * self.0 * self.0
    }
}

/// Answers one line.
#[unsafe(no_mangle)]
pub fn answer(line: &str) -> String {
    let tally = engine::tally(line);
    let mut text = String::from("before:");
    for (word, count) in engine::ranking(&tally).iter().take(2) {
        write!(text, " {word}={count:>2}").unwrap();
    }
    let mut sum = 0;
    let doubled = engine::each(&[1, 2, 3], &mut |value| {
        sum += value;
        value * 2
    });
    write!(text, " sum {sum} doubled {doubled}").unwrap();
    write!(text, " {} {}", engine::describe(&Circle(1.0)), engine::Square(2.0)).unwrap();
    text
}

/// Answers a number's line, and unwinds from the host's own function when it is none.
#[unsafe(no_mangle)]
pub fn number(line: &str) -> String {
    let _guard = Dropped("before");
    format!("number {}", engine::parse(line) + 1)
}
