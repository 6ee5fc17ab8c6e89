"""The crates of a program in Rust, and their roots."""

from __future__ import annotations

from adversary.model import Program

CRATE = "prog"
"""The name of the program's crate."""
LIBRARY = "parts"
"""The name of the library crate, where there is one."""

ROOT = """#![no_main]
#![allow(warnings, static_mut_refs)]
unsafe extern "C" {{
    pub safe fn hot(called: *const ()) -> *const ();
    pub safe fn computed(value: u64) -> u64;
}}
#[repr(transparent)]
pub struct Cell<T>(core::cell::UnsafeCell<T>);
unsafe impl<T> Sync for Cell<T> {{}}
impl<T> Cell<T> {{
    pub const fn new(value: T) -> Self {{ Self(core::cell::UnsafeCell::new(value)) }}
    pub const fn get(&self) -> *mut T {{ self.0.get() }}
}}
pub trait Called {{ fn called(&self, value: u64) -> u64; }}
#[repr(transparent)]
pub struct Fixed<T>(pub T);
unsafe impl<T> Sync for Fixed<T> {{}}
{}
"""
USER = """#![no_main]
#![allow(warnings, static_mut_refs)]
pub use parts::{{Called, Cell, Fixed, computed, hot}};
{}
"""
"""The roots of a crate, and of one that has a library crate."""


def crate_of(program: Program, file: str) -> str:
    """The name of the crate of which a file is a module."""
    return LIBRARY if file in program.library else CRATE


def root_text(program: Program, crate: str) -> str:
    """The root of a crate."""
    modules = "\n".join(f"pub mod {file.name};" for file in program.files if crate_of(program, file.name) == crate)
    return (USER if program.library and crate == CRATE else ROOT).format(modules)
