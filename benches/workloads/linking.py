"""The ``link`` command for 200 objects with debug information, and for 20 MB of Rust; beside copies and the linker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from benches.harness import OURS, Bench, Case, Command, Contender, Step, shown, whole_process
from benches.hosts import SLIDE

COPY = Step("llvm-objcopy-19", "the objects copied")
LINKER, LINK = "aarch64-linux-gnu-gcc", "link"
"""The linker's own time is what it takes for the objects as they are; ``link`` takes that and its own."""
OBJECTS, MODULES = 200, 14
_TARGET = "aarch64-unknown-linux-gnu"

_UNIT = """\
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct rec{n} {{ int id; char name[32]; double price; struct rec{n} *next; }};
static struct rec{n} *head; static int counter; int shared{n} = {n};
extern int shared{next};
{helpers}
int f{n}(int x) {{ int s = shared{next}; {calls} return s; }}
"""
_HELPER = """\
static int helper{j}(int x) {{
  static int seen; struct rec{n} *r = malloc(sizeof *r);
  if (!r) return x;
  r->id = x + {j}; snprintf(r->name, sizeof r->name, "r%d", x); r->price = sqrt(x); r->next = head; head = r;
  counter += strlen(r->name); return ++seen + counter;
}}
"""
_MODULE = """\
pub mod m{n} {{
    use std::collections::*;
    static SEEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new({n});
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Item {{ id: u64, name: String, tags: Vec<String>, kind: Kind }}
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Kind {{ A, B(u32), C {{ x: i64, y: String }} }}
    #[inline(never)]
    pub fn run(items: Vec<Item>) -> usize {{
        SEEN.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut map: HashMap<Item, Vec<Item>> = HashMap::new();
        let mut tree: BTreeMap<Item, BTreeSet<Kind>> = BTreeMap::new();
        let mut heap: BinaryHeap<Item> = BinaryHeap::new();
        for it in items.iter() {{
            map.entry(it.clone()).or_default().push(it.clone());
            tree.entry(it.clone()).or_default().insert(it.kind.clone());
            heap.push(it.clone());
        }}
        let mut sorted = items.clone();
        sorted.sort();
        sorted.dedup();
        sorted.retain(|x| x.tags.len() < 9);
        let text = format!("{{:?}} {{:?}}", sorted, tree.iter().rev().collect::<Vec<_>>());
        let queue: VecDeque<Kind> = heap.into_sorted_vec().into_iter().map(|x| x.kind).collect();
        let told: LinkedList<String> = queue.iter().map(|x| format!("{{:#?}}", x)).collect();
        map.len() + tree.range(..).count() + text.len() + queue.iter().take(3).count() + told.len()
    }}
}}
"""


def cases(bench: Bench) -> Iterator[Case]:
    """200 objects of C, and one of Rust."""
    for tool, hint in ((LINKER, "gcc-aarch64-linux-gnu"), (COPY.tool, "llvm-19")):
        if not shutil.which(tool):
            bench.absent.append(f"links: no {tool} (Debian: apt-get install {hint})")
            return
    count, modules = (5, 1) if bench.quick else (OBJECTS, MODULES)
    folder = bench.scratch / "linking" / f"c-{count}"
    if not (folder / "host").exists():
        _make_c(bench, folder, count)
    yield _case(bench, folder, f"{count} objects of C", count, [folder / f"f{n}.o" for n in range(count)])
    compiler, sysroot = os.environ.get("STUBGEN_RUSTC", "rustc"), os.environ.get("STUBGEN_RUST_SYSROOT")
    folder = bench.scratch / "linking" / f"rust-{modules}"
    if not (folder / "host").exists():
        options = [f"--sysroot={sysroot}"] if sysroot else []
        if not _made_rust(bench, folder, [compiler, *options], modules):
            bench.absent.append(f"links of a Rust object: no rustc for {_TARGET} (STUBGEN_RUSTC, STUBGEN_RUST_SYSROOT)")
            return
    size = (folder / "a.o").stat().st_size >> 20
    yield _case(bench, folder, f"one object of Rust, {size} MB", modules, [folder / "a.o"])


def _case(bench: Bench, folder: Path, title: str, count: int, objects: Sequence[Path]) -> Case:
    options: Command = ["--host", folder / "host", "--captured", folder / "captured", "--slide", hex(SLIDE)]
    command: Command = [bench.python, "-m", "stubgen", "link", *options, "-o", folder / "patch.so", *objects]
    script = f'for each do {COPY.tool} "$each" {folder}/copy || exit; done'
    copied: Command = ["/bin/sh", "-c", script, "sh", *objects]
    linked: Command = [LINKER, "-shared", "-Wl,--unresolved-symbols=ignore-all", "-o", folder / "linked.so", *objects]
    contenders = [
        Contender(COPY.tool, whole_process(bench, COPY.step, copied), command=shown(bench, copied)),
        Contender(LINKER, whole_process(bench, LINK, linked), command=shown(bench, linked)),
        Contender(OURS, whole_process(bench, LINK, command), command=shown(bench, command)),
    ]
    return Case("linking", title, "elf", count, COPY, contenders, rounds=3)


def _make_c(bench: Bench, folder: Path, count: int) -> None:
    """The objects, and a host of all of them."""
    bench.progress.say(f"linking: compiling {count} objects")
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        helpers = "".join(_HELPER.format(n=n, j=j) for j in range(20))
        calls = " ".join(f"s += helper{j}(x);" for j in range(20))
        source = _UNIT.format(n=n, next=(n + 1) % count, helpers=helpers, calls=calls)
        (folder / f"f{n}.c").write_text(source)
        _run(bench, folder, [LINKER, "-g", "-O1", "-fPIC", "-fdata-sections", "-c", f"f{n}.c"])
    (folder / "main.c").write_text("int f0(int); int main(void) { return f0(1); }")
    _run(bench, folder, [LINKER, "-g", "-fPIC", "-c", "main.c"])
    _capture(bench, folder, ["-g", "-o", "host", "main.o", *(f"f{n}.o" for n in range(count)), "-lm"])


def _made_rust(bench: Bench, folder: Path, compiler: Sequence[str], modules: int) -> bool:
    """The object and its host, an executable of the same source; whether there is a compiler that makes them."""
    bench.progress.say(f"linking: compiling {modules} modules of Rust")
    folder.mkdir(parents=True, exist_ok=True)
    calls = " + ".join(f"m{n}::run(Vec::new())" for n in range(modules))
    main = f'fn main() {{ println!("{{}}", {calls}); }}\n'
    (folder / "a.rs").write_text("".join(_MODULE.format(n=n) for n in range(modules)) + main)
    options = [f"--target={_TARGET}", "-g", "-Ccodegen-units=1", "-Clink-dead-code", f"-Clinker={LINKER}"]
    wrapper = folder / "linker"
    wrapper.write_text(f'#!/bin/sh\nexec "{bench.python}" -m stubgen.capture "$@"\n')
    wrapper.chmod(0o755)
    try:
        _run(bench, folder, [*compiler, *options, "--emit=obj", "-o", "a.o", "a.rs"])
        _run(bench, folder, [*compiler, *options, f"-Clinker={wrapper}", "-o", "host", "a.rs"])
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _capture(bench: Bench, folder: Path, words: Sequence[str]) -> None:
    _run(bench, folder, [bench.python, "-m", "stubgen.capture", *words])


def _run(bench: Bench, folder: Path, command: Sequence[str]) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(bench.children.tree),
        "STUBGEN_CAPTURE_DIR": str(folder / "captured"),
        "STUBGEN_REAL_LINKER": LINKER,
    }
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
