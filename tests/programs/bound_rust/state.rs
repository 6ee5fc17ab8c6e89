//! What the host keeps and patches use: statics, trait objects, functions by address, thread-locals.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering};

pub static COUNT: AtomicU32 = AtomicU32::new(40);

#[unsafe(no_mangle)]
pub static RAW: [AtomicU32; 4] = [AtomicU32::new(0), AtomicU32::new(10), AtomicU32::new(20), AtomicU32::new(30)];

thread_local! {
    pub static DEPTH: Cell<u32> = const { Cell::new(100) };
    pub static NAMES: RefCell<Vec<String>> = RefCell::default();
}

pub trait Speak {
    fn speak(&self) -> String;
    fn loud(&self) -> String {
        self.speak().to_uppercase()
    }
}

pub struct Dog(pub u32);
pub struct Cat;

impl Speak for Dog {
    #[inline(never)]
    fn speak(&self) -> String {
        format!("dog {}", self.0 + COUNT.load(Ordering::SeqCst))
    }
}

impl Speak for Cat {
    #[inline(never)]
    fn speak(&self) -> String {
        "cat".to_string()
    }
}

pub static DOG: Dog = Dog(7);
pub static SPEAKERS: [&(dyn Speak + Sync); 2] = [&DOG, &Cat];

pub type Handler = fn(u32) -> u32;

#[inline(never)]
pub fn double(x: u32) -> u32 {
    2 * x
}

#[inline(never)]
pub fn triple(x: u32) -> u32 {
    3 * x + COUNT.load(Ordering::SeqCst)
}

pub static HANDLERS: [Handler; 2] = [double, triple];
