//! Whose a patch is, by the note that is in it: docs/identity.md.

use std::sync::{Mutex, OnceLock};

/// Of the patches before.
static SESSION: Mutex<[u8; 16]> = Mutex::new([0; 16]);

/// The program's build id, as it was at the start: a file that is linked anew has another one.
static BUILD: OnceLock<Option<Vec<u8>>> = OnceLock::new();

/// Remember which build runs.
pub fn remember() -> std::io::Result<()> {
    let program = std::fs::read("/proc/self/exe")?;
    BUILD.get_or_init(|| note(&program, b"GNU\0", 3).map(<[u8]>::to_vec));
    Ok(())
}

/// Why a patch is not for this process; nothing if nothing says so.
pub fn mismatch(library: &str, slide: u64) -> Result<(), String> {
    let file = std::fs::read(library).map_err(|error| format!("{library}: {error}"))?;
    let patch = note(&file, b"stubgen\0", 1).filter(|note| note.len() >= 56).ok_or("the patch has no identity")?;
    if number(patch, 0, 4) != Some(1) {
        return Err("the patch says who it is in a newer way".into());
    }
    if number(patch, 8, 8) != Some(slide) {
        return Err("the patch was linked for another process: the slide is not this one's".into());
    }
    let build = number(patch, 52, 4).and_then(|size| patch.get(56..56 + size as usize));
    if number(patch, 48, 4) == Some(1) && build != BUILD.get().and_then(Option::as_deref) {
        return Err("the patch was linked for another build of the program".into());
    }
    let mut session = SESSION.lock().unwrap();
    if *session != [0; 16] && *session != patch[16..32] {
        return Err("the patch is of another session than the one before".into());
    }
    if *session == [0; 16] && number(patch, 4, 4) > Some(1) {
        let advice = "this process has taken none of its session: begin one with --new-session";
        return Err(format!("the patch builds on earlier ones, and {advice}"));
    }
    session.copy_from_slice(&patch[16..32]);
    Ok(())
}

/// The content of a note in an ELF file of 64 bits.
fn note<'a>(file: &'a [u8], owner: &[u8], kind: u64) -> Option<&'a [u8]> {
    let (table, size, count) = (number(file, 32, 8)?, number(file, 54, 2)?, number(file, 56, 2)?);
    for header in (0..count).map(|index| (table + index * size) as usize) {
        let mut at = number(file, header + 8, 8)? as usize;
        let end = at + number(file, header + 32, 8)? as usize;
        while number(file, header, 4)? == PT_NOTE && at + 12 <= end {
            let [name_size, content_size] = [number(file, at, 4)? as usize, number(file, at + 4, 4)? as usize];
            let (name, content) = (at + 12, at + 12 + name_size.next_multiple_of(4));
            if number(file, at + 8, 4)? == kind && file.get(name..name + name_size)? == owner {
                return file.get(content..content + content_size);
            }
            at = content + content_size.next_multiple_of(4);
        }
    }
    None
}

const PT_NOTE: u64 = 4;

/// The little-endian number of so many bytes at an offset.
fn number(bytes: &[u8], offset: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
