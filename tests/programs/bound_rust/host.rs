//! A host that takes orders, one a line: `patch PATH`, `again`, `thread`, `state` and `quit`.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io::BufRead;
use std::sync::atomic::Ordering;

use state::{COUNT, DEPTH, HANDLERS, NAMES, RAW, SPEAKERS};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

#[unsafe(no_mangle)]
pub extern "C" fn whisker_aslr_anchor() {}

fn load(path: &str) -> fn() -> String {
    let path = CString::new(path).unwrap();
    unsafe {
        let library = dlopen(path.as_ptr(), 2);
        assert!(!library.is_null(), "dlopen failed");
        std::mem::transmute::<*mut c_void, fn() -> String>(dlsym(library, c"patch_main".as_ptr()))
    }
}

/// Everything that is shared, as this thread of the host sees it.
fn shared() -> String {
    COUNT.fetch_add(std::hint::black_box(0), Ordering::SeqCst); // the patch's way of counting calls a function, which the host must have
    let names = NAMES.with_borrow(|names| names.join(","));
    let raw: Vec<u32> = RAW.iter().map(|word| word.load(Ordering::SeqCst)).collect();
    let handled: Vec<u32> = HANDLERS.iter().map(|handler| handler(1)).collect();
    let spoken: Vec<String> = SPEAKERS.iter().map(|speaker| speaker.loud()).collect();
    format!("{} {raw:?} {} [{names}] {handled:?} {spoken:?}", COUNT.load(Ordering::SeqCst), DEPTH.get())
}

fn main() {
    let mut patch: fn() -> String = shared;
    println!("anchor {:#x}", whisker_aslr_anchor as *const () as usize);
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("patch", path) => {
                patch = load(path);
                println!("{}", patch());
            }
            ("again", _) => println!("{}", patch()),
            ("thread", _) => {
                let run = move || format!("{} | {}", patch(), shared());
                println!("{}", std::thread::spawn(run).join().unwrap());
            }
            ("state", _) => println!("{}", shared()),
            _ => {
                println!("bye");
                return;
            }
        }
    }
}
