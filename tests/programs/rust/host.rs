//! A host that takes orders on its standard input, one a line, and answers each with one line.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{BufRead, Write};
use std::panic::catch_unwind;
use std::sync::atomic::Ordering;

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;

#[unsafe(no_mangle)]
pub extern "C" fn whisker_aslr_anchor() {}

type Feature = fn(&str) -> String;

fn load(path: &str) -> Result<[Feature; 2], String> {
    let path = CString::new(path).unwrap();
    let error = || unsafe { CStr::from_ptr(dlerror()) }.to_string_lossy().into_owned();
    let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
    if library.is_null() {
        return Err(error());
    }
    let find = |name: &CStr| match unsafe { dlsym(library, name.as_ptr()) } {
        function if function.is_null() => Err(error()),
        function => Ok(unsafe { std::mem::transmute::<*mut c_void, Feature>(function) }),
    };
    Ok([find(c"answer")?, find(c"number")?])
}

fn main() {
    let mut features: [Feature; 2] = [feature::answer, feature::number];
    println!("anchor {:#x}", whisker_aslr_anchor as *const () as usize);
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (order, operand) = line.split_once(' ').unwrap_or((&line, ""));
        match order {
            "patch" => match load(operand) {
                Ok(loaded) => {
                    features = loaded;
                    println!("loaded");
                }
                Err(error) => println!("error: {error}"),
            },
            "answer" => println!("{} tallies {}", features[0](operand), engine::TALLIES.load(Ordering::SeqCst)),
            "number" => match catch_unwind(|| features[1](operand)) {
                Ok(text) => println!("{text}"),
                Err(panic) => println!("caught {}", panic.downcast_ref::<String>().map_or("?", String::as_str)),
            },
            "thread" => {
                let (feature, operand) = (features[0], operand.to_string());
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
