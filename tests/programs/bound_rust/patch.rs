//! A patch that reaches the host's statics, functions, trait objects and thread-locals.

use std::hint::black_box;
use std::sync::atomic::Ordering;

use state::{COUNT, Cat, DEPTH, DOG, HANDLERS, Handler, NAMES, RAW, SPEAKERS, Speak, double, triple};

/// The patch's own tables, in which only the host's addresses are right.
static OWN_HANDLERS: [Handler; 2] = [triple, double];
static OWN_SPEAKERS: [&(dyn Speak + Sync); 2] = [&Cat, &DOG];

struct Loud<'a>(&'a dyn Speak);

impl Speak for Loud<'_> {
    fn speak(&self) -> String {
        format!("{}!", self.0.loud())
    }
}

#[unsafe(no_mangle)]
pub fn patch_main() -> String {
    let hosts = black_box(&HANDLERS);
    let own = black_box(&OWN_HANDLERS);
    let same = u32::from(std::ptr::fn_addr_eq(hosts[0], black_box(double as Handler)))
        + 10 * u32::from(std::ptr::fn_addr_eq(hosts[1], own[0]))
        + 100 * u32::from(std::ptr::fn_addr_eq(hosts[0], own[1]));
    let spoken: Vec<String> =
        black_box(&OWN_SPEAKERS).iter().chain(black_box(&SPEAKERS)).map(|speaker| Loud(*speaker).speak()).collect();
    let before = COUNT.fetch_add(2, Ordering::SeqCst);
    RAW[3].fetch_add(own[0](1), Ordering::SeqCst);
    DEPTH.set(DEPTH.get() + 1);
    NAMES.with_borrow_mut(|names| names.push(format!("patch {before}")));
    format!("{before} {} {same} {spoken:?}", DEPTH.get())
}
