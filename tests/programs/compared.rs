use std::collections::HashMap;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
thread_local! { static DEPTH: Cell<u32> = const { Cell::new(0) }; }
static COUNT: AtomicU32 = AtomicU32::new(3);
static TABLE: [u32; 5] = [1, 2, 3, 4, 5];
trait Shape { fn area(&self) -> f64; fn name(&self) -> String { "shape".to_string() } }
struct Sq(f64); struct Ci(f64);
impl Shape for Sq { fn area(&self) -> f64 { self.0 * self.0 } fn name(&self) -> String { format!("square {}", self.0) } }
impl Shape for Ci { fn area(&self) -> f64 { self.0 * 3.25 } }
#[inline(never)] fn f_map(n: u32) -> usize { let mut m = HashMap::new(); for i in 0..n { m.insert(i % 3, i); } m.len() }
#[inline(never)] fn f_depth(n: u32) -> u32 { DEPTH.with(|d| { d.set(d.get() + n); d.get() }) }
#[inline(never)] fn f_count(n: u32) -> u32 { COUNT.fetch_add(n, Ordering::SeqCst) }
#[inline(never)] fn f_table(n: usize) -> u32 { TABLE[n % 5] }
#[inline(never)] fn f_shape(n: u32) -> f64 { let v: Vec<Box<dyn Shape>> = vec![Box::new(Sq(n as f64)), Box::new(Ci(2.0))]; v.iter().map(|s| s.area() + s.name().len() as f64).sum() }
#[inline(never)] fn f_panic(n: u32) -> u32 { if n > 100 { panic!("too many: {n}") } n }
#[inline(never)] fn f_catch(n: u32) -> u32 { std::panic::catch_unwind(|| f_panic(n)).unwrap_or(7) }
#[inline(never)] fn f_match(s: &str) -> u32 { match s { "one" => 1, "two" => 2, "three" => 3, _ => 0 } }
#[inline(never)] fn f_sort(mut v: Vec<u32>) -> u32 { v.sort_by(|a, b| b.cmp(a)); v[0] }
fn main() { println!("{} {} {} {} {} {} {} {}", f_map(9), f_depth(2), f_count(3), f_table(2), f_shape(3), f_catch(4), f_match("two"), f_sort(vec![1,2,3])); }
