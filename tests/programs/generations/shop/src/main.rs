//! Answers each line twice: from `main`, which is never replaced, and from a loop in a thread, which goes on as it began.

use hot::hot;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};

const VERSION: u32 = 0;

static ANSWERS: AtomicU32 = AtomicU32::new(0);

#[inline(never)]
fn answer(line: &str) -> String {
    let order = catch_unwind(|| hot!(cart::order, line)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>();
        format!("caught {}", said.map_or("what is no text", String::as_str))
    });
    format!("shop {VERSION} {}, {order}", ANSWERS.fetch_add(1, Ordering::Relaxed) + 1)
}

/// Answers until somebody says stop.
#[inline(never)]
fn serve(lines: &Receiver<String>, answers: &Sender<String>) {
    for line in lines {
        if line == "stop" {
            return;
        }
        answers.send(format!("loop {VERSION}: {}", hot!(answer, &line))).unwrap();
    }
}

fn main() {
    hot::start(&std::env::var("HOT_SOCKET").unwrap()).unwrap();
    let (lines, received) = channel();
    let (sent, answers) = channel();
    std::thread::spawn(move || {
        while received.recv().is_ok_and(|line: String| line == "start") {
            hot!(serve, &received, &sent);
        }
    });
    for line in std::io::stdin().lines().map(Result::unwrap) {
        if line == "start" || line == "stop" {
            lines.send(line.clone()).unwrap();
            println!("{line}");
        } else {
            let answer = hot!(answer, &line);
            lines.send(line).unwrap();
            println!("main: {answer}; {}", answers.recv().unwrap());
        }
    }
}
