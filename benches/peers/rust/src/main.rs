//! The `object` crate doing stubgen's work, the way today's hot-patchers use it: the benchmarks' Rust peer.
//!
//! ```text
//! rust-peer emit --format elf|macho [--repeat N] NAMES OUT   an object with one trampoline for each line of NAMES
//! rust-peer stub --slide N [--lean] HOST PATCH OUT           the whole path: host, patch object, stub object
//! rust-peer list FILE                                        every symbol's name and address, read once
//! ```
//!
//! NAMES has a line `name address` (hexadecimal, no `0x`) for each stub. Each prints its phases as `name seconds`
//! lines, for the parts that a program which already runs would spend; process start and exit are the caller's
//! to measure. Numbers of symbols follow as `name count`.

use object::write::{Mangling, Object, Relocation, SectionId, StandardSection, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, FileFlags, Object as _, ObjectSymbol, RelocationEncoding, RelocationKind,
    SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::hash::Hash;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a hot-patcher keeps of a host's symbol.
struct Kept {
    address: u64,
    kind: SymbolKind,
    is_undefined: bool,
    #[allow(dead_code)] // kept because the tools keep it
    is_weak: bool,
    #[allow(dead_code)]
    size: u64,
}

/// Prints how long each phase took, when it ends.
struct Clock(Instant);

impl Clock {
    fn start() -> Clock {
        Clock(Instant::now())
    }

    fn phase(&mut self, name: &str) {
        println!("{name} {:.9}", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["emit", "--format", format, "--repeat", times, names, out] => emit(format, times.parse()?, names, out),
        ["emit", "--format", format, names, out] => emit(format, 1, names, out),
        ["stub", "--slide", slide, "--lean", host, patch, out] => stub(number(slide)?, true, host, patch, out),
        ["stub", "--slide", slide, host, patch, out] => stub(number(slide)?, false, host, patch, out),
        ["list", file] => list(file),
        _ => Err("usage: rust-peer emit --format elf|macho [--repeat N] NAMES OUT | stub --slide N [--lean] HOST PATCH OUT | list FILE".into()),
    }
}

fn number(text: &str) -> Outcome<u64> {
    Ok(match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16)?,
        None => text.parse()?,
    })
}

fn emit(format: &str, times: usize, names: &str, out: &str) -> Outcome<()> {
    let format = match format {
        "elf" => BinaryFormat::Elf,
        "macho" => BinaryFormat::MachO,
        _ => return Err("the format is elf or macho".into()),
    };
    let text = std::fs::read_to_string(names)?;
    let mut pairs = Vec::new();
    for line in text.lines() {
        let (name, address) = line.split_once(' ').ok_or("a line is a name, a space and an address")?;
        pairs.push((name, u64::from_str_radix(address, 16)?));
    }
    let mut content = Vec::new();
    for _ in 0..times {
        drop(std::mem::take(&mut content));
        let mut clock = Clock::start();
        content = object_of(format, pairs.iter().copied())?;
        clock.phase("emit");
    }
    let mut clock = Clock::start();
    std::fs::write(out, &content)?;
    clock.phase("write");
    println!("stubs {}", pairs.len());
    Ok(())
}

/// The object that defines each name as a weak hidden trampoline to its address.
fn object_of<'a>(format: BinaryFormat, pairs: impl Iterator<Item = (&'a str, u64)>) -> Outcome<Vec<u8>> {
    let mut object = Object::new(format, Architecture::Aarch64, Endianness::Little);
    object.set_mangling(Mangling::None); // names come as the file has them
    if format == BinaryFormat::MachO {
        object.flags = FileFlags::MachO { flags: object::macho::MH_SUBSECTIONS_VIA_SYMBOLS };
    }
    let section = object.section_id(StandardSection::Text);
    for (name, address) in pairs {
        let code = trampoline(address);
        let value = object.append_section_data(section, &code, 4);
        object.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size: code.len() as u64,
            kind: SymbolKind::Text,
            scope: SymbolScope::Linkage, // hidden, private extern
            weak: true,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    }
    if format == BinaryFormat::MachO {
        add_compact_unwind(&mut object, section)?;
    }
    Ok(object.write()?)
}

/// An entry for each trampoline: no frame, return address in lr. In ELF one `.eh_frame` entry serves them all.
fn add_compact_unwind(object: &mut Object, text: SectionId) -> Outcome<()> {
    const FRAMELESS: u32 = 0x0200_0000; // UNWIND_ARM64_MODE_FRAMELESS
    let size = trampoline(0).len() as u64;
    let end = object.append_section_data(text, &[], 4);
    let start = object.section_symbol(text);
    let unwind = object.add_section(b"__LD".to_vec(), b"__compact_unwind".to_vec(), SectionKind::Debug);
    for function in (0..end).step_by(size as usize) {
        let mut entry = [0; 32];
        entry[8..12].copy_from_slice(&(size as u32).to_le_bytes());
        entry[12..16].copy_from_slice(&FRAMELESS.to_le_bytes());
        let offset = object.append_section_data(unwind, &entry, 8);
        object.add_relocation(
            unwind,
            Relocation {
                offset,
                size: 64,
                kind: RelocationKind::Absolute,
                encoding: RelocationEncoding::Generic,
                symbol: start,
                addend: function as i64,
            },
        )?;
    }
    Ok(())
}

/// movz x16, movk x16 three times, br x16.
fn trampoline(address: u64) -> [u8; 20] {
    let mut code = [0; 20];
    for (half, opcode) in [0xD280_0010u32, 0xF2A0_0010, 0xF2C0_0010, 0xF2E0_0010].into_iter().enumerate() {
        let word = opcode | ((address >> (16 * half)) as u32 & 0xFFFF) << 5;
        code[4 * half..][..4].copy_from_slice(&word.to_le_bytes());
    }
    code[16..].copy_from_slice(&0xD61F_0200u32.to_le_bytes());
    code
}

fn stub(slide: u64, lean: bool, host: &str, patch: &str, out: &str) -> Outcome<()> {
    let mut clock = Clock::start();
    let bytes = std::fs::read(host)?;
    clock.phase("read");
    let file = object::File::parse(&*bytes)?;
    // The tools stop at a host without a full table; here its dynamic one answers, so that the work is the same.
    let stripped = file.symbols().nth(1).is_none();
    let symbols = || if stripped { file.dynamic_symbols() } else { file.symbols() };
    if lean {
        // The least that could do: names stay in the file's bytes, and only functions are kept.
        let mut table: HashMap<&str, Kept> = HashMap::new();
        for symbol in symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            table.insert(symbol.name()?, kept(&symbol));
        }
        clock.phase("table");
        answer(&table, slide, patch, out, clock)
    } else {
        // As the tools have it: a table that outlives the file's bytes, to be kept for the next patch.
        let mut table: HashMap<String, Kept> = HashMap::new();
        for symbol in symbols() {
            if let Ok(name) = symbol.name() {
                table.insert(name.to_string(), kept(&symbol));
            }
        }
        clock.phase("table");
        answer(&table, slide, patch, out, clock)
    }
}

fn kept<'a>(symbol: &impl ObjectSymbol<'a>) -> Kept {
    Kept {
        address: symbol.address(),
        kind: symbol.kind(),
        is_undefined: symbol.is_undefined(),
        is_weak: symbol.is_weak(),
        size: symbol.size(),
    }
}

/// What the patch leaves undefined and the table has as a function, as a stub object.
fn answer<K>(table: &HashMap<K, Kept>, slide: u64, patch: &str, out: &str, mut clock: Clock) -> Outcome<()>
where
    K: std::borrow::Borrow<str> + Eq + Hash,
{
    println!("symbols {}", table.len());
    let bytes = std::fs::read(patch)?;
    let file = object::File::parse(&*bytes)?;
    let (mut undefined, mut defined) = (HashSet::new(), HashSet::new());
    for symbol in file.symbols() {
        if symbol.is_undefined() {
            undefined.insert(symbol.name()?.to_string());
        } else if symbol.is_global() {
            defined.insert(symbol.name()?.to_string());
        }
    }
    let needed: Vec<&String> = undefined.difference(&defined).collect();
    clock.phase("needed");
    let pairs = needed.iter().filter_map(|name| {
        let symbol = table.get(name.as_str())?;
        let wanted = symbol.kind == SymbolKind::Text && !symbol.is_undefined;
        wanted.then(|| (name.as_str(), symbol.address.wrapping_add(slide)))
    });
    let content = object_of(file.format(), pairs)?;
    clock.phase("emit");
    std::fs::write(out, &content)?;
    clock.phase("write");
    println!("needed {}", needed.len());
    Ok(())
}

fn list(path: &str) -> Outcome<()> {
    let mut clock = Clock::start();
    let bytes = std::fs::read(path)?;
    clock.phase("read");
    let file = object::File::parse(&*bytes)?;
    let mut count = 0;
    let mut bits = 0;
    for symbol in file.symbols().chain(file.dynamic_symbols()) {
        bits ^= symbol.name()?.len() as u64 ^ symbol.address();
        count += 1;
    }
    clock.phase("list");
    println!("symbols {count}");
    std::hint::black_box(bits);
    Ok(())
}
