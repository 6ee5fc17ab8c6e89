//! A library for other languages, loaded by dlopen, and with `--cfg edited` the edit that is patched into it.
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::io::BufRead;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

thread_local! {
    static HITS: Cell<u64> = const { Cell::new(5) };
    static SEEN: RefCell<HashMap<String, u64>> = RefCell::new(HashMap::new());
}

#[cfg(edited)]
thread_local! {
    static ADDED: Cell<u64> = const { Cell::new(70) };
}

#[cfg(not(edited))]
fn added() -> u64 {
    0
}

#[cfg(edited)]
fn added() -> u64 {
    ADDED.set(ADDED.get() + 1);
    ADDED.get()
}

/// How many of a new map's keys are found: the keys of its hashes are a thread-local of std's.
fn mapped() -> usize {
    let map: HashMap<u32, u32> = (0..10).map(|n| (n, n)).collect();
    (0..10).filter(|n| map.contains_key(n)).count()
}

#[unsafe(no_mangle)]
#[inline(never)]
pub fn answer() -> String {
    HITS.set(HITS.get() + 1);
    let seen = SEEN.with_borrow_mut(|seen| {
        *seen.entry("answer".to_string()).or_insert(0) += 1;
        seen["answer"]
    });
    format!("hits {} seen {seen} mapped {} added {}", HITS.get(), mapped(), added())
}

#[unsafe(no_mangle)]
pub extern "C" fn library_main() -> c_int {
    println!("anchor {:#x}", library_main as *const () as usize);
    let mut current: fn() -> String = answer;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        if line == "quit" {
            println!("bye");
            return 0;
        }
        if let Some(path) = line.strip_prefix("patch ") {
            let path = CString::new(path).unwrap();
            // SAFETY: the patch is this library's own, with answer() of the same type
            current = unsafe { std::mem::transmute(dlsym(dlopen(path.as_ptr(), 2), c"answer".as_ptr())) };
        }
        if line == "thread" {
            println!("{}", std::thread::spawn(move || (answer(), current()).1).join().unwrap());
        } else if line == "old" {
            println!("{}", answer());
        } else {
            println!("{}", current());
        }
    }
    1
}
