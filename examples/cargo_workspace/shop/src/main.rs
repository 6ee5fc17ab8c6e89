//! A shop: takes what each line of standard input orders.

use hot::hot;
use std::io::BufRead;

fn main() {
    if let Ok(path) = std::env::var("HOT_SOCKET") {
        hot::start(&path).expect("the socket of patches");
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        println!("{}", hot!(answer, &line));
    }
}

#[inline(never)]
fn answer(line: &str) -> String {
    match hot!(cart::order, line) {
        Ok(receipt) => receipt,
        Err(reason) => format!("sorry, {reason}"),
    }
}
