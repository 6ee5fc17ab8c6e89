//! Calls of functions that patches replace: `hot!(cart::total, &items)`.
//!
//! One conversation: the program says `anchor ADDRESS pid N`; who has a patch sends its jump table, as
//! `hotpatch-stubgen link --jump-table FILE` writes it for subsecond, and no more; the program answers `loaded ADDRESS`,
//! where the patch's anchor is, or `refused REASON`.

mod identity;
mod json;

use json::Json;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicPtr, Ordering};

const ANCHOR: &CStr = c"main";

type Table = HashMap<usize, usize>; // runtime addresses: of a function, and of what stands for it

/// One that was replaced is never freed: somebody may still be reading it.
static CURRENT: AtomicPtr<Table> = AtomicPtr::new(std::ptr::null_mut());

/// What now stands for the function at an address: the newest patch's, or itself.
pub fn look_up(function: *const ()) -> *const () {
    // SAFETY: it is null or a table that was leaked.
    let table = unsafe { CURRENT.load(Ordering::Acquire).as_ref() };
    table.and_then(|table| table.get(&(function as usize))).map_or(function, |new| *new as *const ())
}

/// A function that is looked up at each call.
pub trait HotFunction<Arguments> {
    type Output;
    fn call_hot(self, arguments: Arguments) -> Self::Output;
}

macro_rules! hot_functions {
    ($(($($name:ident $argument:ident),*))*) => { $(
        impl<$($name,)* Output> HotFunction<($($name,)*)> for fn($($name),*) -> Output {
            type Output = Output;
            #[inline(always)] // the caller's own code calls the function
            fn call_hot(self, ($($argument,)*): ($($name,)*)) -> Output {
                // SAFETY: a patch's function has the type of the one that it replaces; who changes it restarts.
                let function = unsafe { std::mem::transmute::<*const (), Self>(look_up(self as *const ())) };
                function($($argument),*)
            }
        }
    )* };
}

hot_functions! { () (A a) (A a, B b) (A a, B b, C c) }

/// Calls a function, or what the newest patch has in its place.
#[macro_export]
macro_rules! hot {
    ($function:path) => { $crate::hot!(@ fn() -> _, $function, ()) };
    ($function:path, $a:expr) => { $crate::hot!(@ fn(_) -> _, $function, ($a,)) };
    ($function:path, $a:expr, $b:expr) => { $crate::hot!(@ fn(_, _) -> _, $function, ($a, $b)) };
    ($function:path, $a:expr, $b:expr, $c:expr) => { $crate::hot!(@ fn(_, _, _) -> _, $function, ($a, $b, $c)) };
    (@ $type:ty, $function:path, $arguments:expr) => {{
        let function: $type = $function;
        $crate::HotFunction::call_hot(function, $arguments)
    }};
}

/// Takes patches from the Unix socket at `path`, which only this user may reach, in a thread of its own.
pub fn start(path: &str) -> io::Result<()> {
    identity::remember()?;
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
    std::thread::Builder::new().name("hot".into()).spawn(move || {
        for client in listener.incoming().flatten() {
            let _ = serve(client); // one that went away hears no answer
        }
    })?;
    Ok(())
}

fn serve(mut client: UnixStream) -> io::Result<()> {
    let mut message = String::new();
    // SAFETY: the name is a C string.
    let anchor = unsafe { dlsym(std::ptr::null_mut(), ANCHOR.as_ptr()) };
    writeln!(client, "anchor {anchor:p} pid {}", std::process::id())?;
    client.read_to_string(&mut message)?;
    if message.is_empty() {
        return Ok(());
    }
    match apply(&message) {
        Ok(anchor) => writeln!(client, "loaded {anchor:#x}"),
        Err(reason) => writeln!(client, "refused {reason}"),
    }
}

/// Loads the patch of a message and lets its table be the one that counts; where the patch's anchor is.
fn apply(message: &str) -> Result<usize, String> {
    let table = Json::parse(message).ok_or("this is no JSON")?;
    let field = |name: &str| table.get(name).ok_or(format!("the table has no {name}"));
    let number = |name: &str| field(name)?.number().ok_or(format!("the table's {name} is no number"));
    let (old_anchor, new_anchor) = (number("aslr_reference")?, number("new_base_address")?);
    let path = field("lib")?.text().ok_or("the table's lib is no path")?;
    let library = CString::new(path).map_err(|error| error.to_string())?;
    let map = field("map")?.entries().ok_or("the table's map is no object")?;

    let here = find(std::ptr::null_mut(), "the program")?;
    identity::mismatch(path, here.wrapping_sub(old_anchor) as u64)?;
    // SAFETY: what a patch does as it is loaded is the patch's affair.
    let loaded = unsafe { dlopen(library.as_ptr(), RTLD_NOW) };
    if loaded.is_null() {
        return Err(reason());
    }
    let there = find(loaded, "the patch")?;
    let pair = |(old, new): &(String, Json)| {
        let (old, new): (usize, usize) = (old.parse().ok()?, new.number()?);
        Some((old.wrapping_sub(old_anchor).wrapping_add(here), new.wrapping_sub(new_anchor).wrapping_add(there)))
    };
    let pairs = map.iter().map(pair).collect::<Option<Table>>().ok_or("the table's map is not of numbers")?;
    CURRENT.store(Box::into_raw(Box::new(pairs)), Ordering::Release);
    Ok(there)
}

/// The anchor's address in an image.
fn find(image: *mut c_void, title: &str) -> Result<usize, String> {
    // SAFETY: the image is the loader's, or null for the program.
    match unsafe { dlsym(image, ANCHOR.as_ptr()) } as usize {
        0 => Err(format!("{title} does not export {}", ANCHOR.to_string_lossy())),
        address => Ok(address),
    }
}

fn reason() -> String {
    // SAFETY: dlopen() failed, so the loader has a sentence for this thread.
    unsafe { CStr::from_ptr(dlerror()) }.to_string_lossy().into_owned()
}

const RTLD_NOW: c_int = 2;

extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(image: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}
