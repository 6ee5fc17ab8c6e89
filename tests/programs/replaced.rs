#![no_std]
// Functions of every kind that rustc makes one or several of; EDIT is what an edited program adds to each answer.
const EDIT: i64 = 0;
macro_rules! answers {
    ($x:expr, $n:expr) => {
        core::hint::black_box($x) + $n + EDIT
    };
}
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
pub trait Tag {
    const N: i64;
    #[inline(never)]
    fn of_trait(x: i64) -> i64 {
        answers!(x, Self::N)
    }
}
pub struct A;
pub struct B;
impl Tag for A {
    const N: i64 = 501;
}
impl Tag for B {
    const N: i64 = 502;
    #[inline(never)]
    fn of_trait(x: i64) -> i64 {
        answers!(x, 503)
    }
}
#[inline(never)]
fn generic<T: Tag>(x: i64) -> i64 {
    answers!(x, T::N + 10)
}
#[inline(never)]
fn private(x: i64) -> i64 {
    answers!(x, 530)
}
#[inline(never)]
fn apply(f: &dyn Fn(i64) -> i64, x: i64) -> i64 {
    f(core::hint::black_box(x))
}
pub mod one {
    use super::*;
    #[unsafe(no_mangle)]
    pub extern "C" fn rust_one(x: i64) -> i64 {
        generic::<A>(x) + private(x)
    }
    #[inline(never)]
    pub fn visible(x: i64) -> i64 {
        answers!(x, 540) + apply(&|y| answers!(y, 541), x) * 0
    }
}
pub mod two {
    use super::*;
    #[unsafe(no_mangle)]
    pub extern "C" fn rust_two(x: i64) -> i64 {
        let closures: [&dyn Fn(i64) -> i64; 2] = [&|y| answers!(y, 551), &|y| answers!(y, 552)];
        generic::<B>(x) + A::of_trait(x) + B::of_trait(x) + one::visible(x) + apply(closures[x as usize & 1], x)
    }
}
