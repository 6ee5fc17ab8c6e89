//! A host whose statics and functions rustc puts into codegen units of their own; it takes `patch PATH` and `quit`.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io::BufRead;

pub mod state {
    use std::cell::Cell;
    use std::sync::atomic::AtomicU32;
    pub static mut COUNT: u64 = 7;
    pub static mut TABLE: [u8; 6000] = [3; 6000];
    pub static ATOMIC: AtomicU32 = AtomicU32::new(40);
    pub static NAMES: [&str; 2] = ["one", "two"];
    thread_local! { pub static DEPTH: Cell<u32> = const { Cell::new(5) }; }

    #[inline(never)]
    pub fn shown() -> String {
        use std::sync::atomic::Ordering;
        let seen = unsafe { (COUNT, TABLE[0], TABLE[5000], TABLE[5999]) };
        format!("{seen:?} {} {} {}", ATOMIC.load(Ordering::SeqCst), NAMES[std::hint::black_box(1)], DEPTH.get())
    }
}

pub mod edited {
    use crate::state::{ATOMIC, COUNT, DEPTH, NAMES, TABLE};

    #[unsafe(no_mangle)]
    #[inline(never)]
    pub extern "C" fn patch_main() -> *const String {
        unsafe {
            COUNT += 1;
            TABLE[0] += 1;
            TABLE[5000] += 2;
            TABLE[5999] = TABLE[std::hint::black_box(4000)] + 4;
        }
        ATOMIC.fetch_add(2, std::sync::atomic::Ordering::SeqCst);
        DEPTH.set(DEPTH.get() + NAMES[std::hint::black_box(0)].len() as u32);
        Box::leak(Box::new(crate::state::shown()))
    }
}

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

#[unsafe(no_mangle)]
pub extern "C" fn whisker_aslr_anchor() {}

fn main() {
    println!("anchor {:#x}", whisker_aslr_anchor as *const () as usize);
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let Some((_, path)) = line.split_once(' ') else { break };
        if path == "host" {
            println!("{}", unsafe { &*edited::patch_main() });
            continue;
        }
        let path = CString::new(path).unwrap();
        unsafe {
            let library = dlopen(path.as_ptr(), 2);
            assert!(!library.is_null(), "dlopen failed");
            let function = dlsym(library, c"patch_main".as_ptr());
            let function = std::mem::transmute::<*mut c_void, extern "C" fn() -> *const String>(function);
            println!("{} | {}", &*function(), state::shown());
        }
    }
    println!("bye");
}
