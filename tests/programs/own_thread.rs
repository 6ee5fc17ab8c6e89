//! A program of one crate, whose code is local-exec, and with `--cfg edited` the edit that adds thread-locals to it.
use std::cell::Cell;
#[cfg(edited)]
use std::cell::RefCell;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io::BufRead;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

thread_local! {
    static HITS: Cell<u64> = const { Cell::new(5) };
    static GUARD: Cell<[u64; 4]> = const { Cell::new([1, 2, 3, 4]) };
}

#[cfg(edited)]
struct Log(Vec<String>);

#[cfg(edited)]
impl Drop for Log {
    fn drop(&mut self) {
        println!("dropped {}", self.0.len());
    }
}

#[cfg(edited)]
thread_local! {
    static PLAIN: Cell<u64> = const { Cell::new(70) };
    static WIDE: Cell<[u64; 16]> = const { Cell::new([9; 16]) };
    static LAZY: Cell<usize> = Cell::new(String::from("seven").len() + 2);
    static LOGGED: RefCell<Log> = RefCell::new(Log(Vec::new()));
}

#[cfg(not(edited))]
#[inline(never)]
fn own() -> String {
    "none".to_string()
}

#[cfg(edited)]
#[inline(never)]
fn own() -> String {
    PLAIN.set(PLAIN.get() + 1);
    let mut wide = WIDE.get();
    wide[std::hint::black_box(15)] += 1;
    WIDE.set(wide);
    LAZY.set(LAZY.get() + 1);
    let logged = LOGGED.with(|log| {
        log.borrow_mut().0.push(String::from("one more"));
        log.borrow().0.len()
    });
    format!("{} {:?} {} {logged}", PLAIN.get(), &WIDE.get()[13..], LAZY.get())
}

#[unsafe(no_mangle)]
#[inline(never)]
pub fn answer() -> String {
    HITS.set(HITS.get() + 1);
    format!("hits {} own {} guard {:?}", HITS.get(), own(), GUARD.get())
}

#[unsafe(no_mangle)]
pub extern "C" fn whisker_aslr_anchor() {}

fn main() {
    println!("anchor {:#x}", whisker_aslr_anchor as *const () as usize);
    let mut current: fn() -> String = answer;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        if line == "quit" {
            println!("bye");
            return;
        }
        if let Some(path) = line.strip_prefix("patch ") {
            let path = CString::new(path).unwrap();
            // SAFETY: the patch is this program's own, with answer() of the same type
            current = unsafe { std::mem::transmute(dlsym(dlopen(path.as_ptr(), 2), c"answer".as_ptr())) };
        }
        if line == "thread" {
            println!("{}", std::thread::spawn(current).join().unwrap());
        } else {
            println!("{}", current());
        }
    }
}
