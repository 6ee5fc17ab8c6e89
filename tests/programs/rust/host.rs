//! A host that takes orders on its standard input, one a line, and answers each with one line.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{BufRead, Write};
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;

#[unsafe(no_mangle)]
pub extern "C" fn whisker_aslr_anchor() {}

thread_local! {
    static GREETED: Cell<u32> = const { Cell::new(0) };
}

static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A function of the program's own crate, with state of its own.
#[unsafe(no_mangle)]
pub fn greet(name: &str) -> String {
    GREETED.set(GREETED.get() + 1);
    let mut names = NAMES.lock().unwrap();
    names.push(name.to_string());
    format!("hello {} (number {} of {})", names.join(" and "), GREETED.get(), names.len())
}

type Feature = fn(&str) -> String;

/// The functions that patches replace.
struct Features {
    answer: Feature,
    number: Feature,
    greet: Feature,
}

impl Features {
    /// Load the patch at `path` and take over what it has.
    fn load(&mut self, path: &str) -> Result<(), String> {
        let path = CString::new(path).unwrap();
        let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        if library.is_null() {
            return Err(unsafe { CStr::from_ptr(dlerror()) }.to_string_lossy().into_owned());
        }
        let features = [(c"answer", &mut self.answer), (c"number", &mut self.number), (c"greet", &mut self.greet)];
        for (name, feature) in features {
            let function = unsafe { dlsym(library, name.as_ptr()) };
            if !function.is_null() {
                *feature = unsafe { std::mem::transmute::<*mut c_void, Feature>(function) };
            }
        }
        Ok(())
    }
}

fn main() {
    let mut features = Features { answer: feature::answer, number: feature::number, greet };
    println!("anchor {:#x}", whisker_aslr_anchor as *const () as usize);
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (order, operand) = line.split_once(' ').unwrap_or((&line, ""));
        match order {
            "patch" => match features.load(operand) {
                Ok(()) => println!("loaded"),
                Err(error) => println!("error: {error}"),
            },
            "greet" => println!("{}", (features.greet)(operand)),
            "answer" => println!("{} tallies {}", (features.answer)(operand), engine::TALLIES.load(Ordering::SeqCst)),
            "number" => match catch_unwind(|| (features.number)(operand)) {
                Ok(text) => println!("{text}"),
                Err(panic) => println!("caught {}", panic.downcast_ref::<String>().map_or("?", String::as_str)),
            },
            "thread" => {
                let (feature, operand) = (features.answer, operand.to_string());
                println!("{}", std::thread::spawn(move || feature(&operand)).join().unwrap());
            }
            "quit" => {
                println!("bye");
                return;
            }
            _ => println!("unknown order: {line}"),
        }
        std::io::stdout().flush().unwrap();
    }
}
