// Functions that are called, inlined and behind a trait object.
mod shop {
    #[inline]
    pub fn tax(n: u32) -> u32 {
        n * n + 3
    }
    #[inline(never)]
    pub fn price(n: u32) -> u32 {
        tax(n) + 7
    }
    pub trait Shape {
        fn area(&self, n: u32) -> u32;
    }
    pub struct Square;
    impl Shape for Square {
        fn area(&self, n: u32) -> u32 {
            n * 3
        }
    }
}
use shop::Shape;

#[inline(never)]
fn use_dyn(shape: &dyn Shape, n: u32) -> u32 {
    shape.area(n) + shop::price(n) + shop::tax(n + 1)
}
fn main() {
    let n = std::env::args().count() as u32;
    let tax: fn(u32) -> u32 = shop::tax;
    println!("{}", use_dyn(&shop::Square, n) + shop::tax(n) + std::hint::black_box(tax)(n));
}
