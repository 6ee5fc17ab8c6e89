//! An edit of feature.rs that uses much of the standard library, to which the host's own use of it gives no hint.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::panic::catch_unwind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

static ALL_LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();

#[unsafe(no_mangle)]
pub fn answer(line: &str) -> String {
    let mut lengths: HashMap<String, Vec<f64>> = HashMap::new(); // its seed is a thread-local of the standard library
    for word in line.split(' ') {
        lengths.entry(word.to_string()).or_default().push(word.len() as f64);
    }
    let sorted: BTreeMap<_, _> = lengths.iter().collect();
    CALLS.set(CALLS.get() + 1);
    LINES.with_borrow_mut(|lines| lines.push(line.to_owned()));
    let mut all = ALL_LINES.get_or_init(Mutex::default).lock().unwrap();
    all.push(line.to_owned());

    let total = Arc::new(Mutex::new(1));
    let workers: Vec<_> = (0..3)
        .map(|number| {
            let total = Arc::clone(&total);
            std::thread::spawn(move || *total.lock().unwrap() += number)
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());

    let shape: Box<dyn engine::Shape> = Box::new(engine::Square(3.0));
    let describe: fn(&dyn engine::Shape) -> String = engine::describe;
    let panicked = catch_unwind(|| engine::parse("zz")).is_err();
    engine::TALLIES.fetch_add(10, Ordering::SeqCst);
    format!(
        "rich: {sorted:?} calls {} lines {} of {} total {} {} panicked {panicked}",
        CALLS.get(),
        LINES.with_borrow(Vec::len),
        all.len(),
        total.lock().unwrap(),
        describe(&*shape),
    )
}

#[unsafe(no_mangle)]
pub fn number(line: &str) -> String {
    line.parse::<f64>().map_or_else(|error| error.to_string(), |value| format!("{value:e}"))
}
