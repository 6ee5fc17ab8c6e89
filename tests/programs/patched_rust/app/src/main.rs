//! Answers each line of standard input.
mod cart;

use hot::hot;
use std::io::BufRead;

fn main() {
    hot::start(&std::env::var("HOT_SOCKET").unwrap()).unwrap();
    for line in std::io::stdin().lock().lines() {
        println!("{}", hot!(cart::answer, &line.unwrap()));
    }
}
