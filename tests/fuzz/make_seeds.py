"""Writes the seeds again, with the real compilers and linkers: ``PYTHONPATH=tests python -m fuzz.make_seeds``.

They are committed, so that a fuzz run starts from the same files everywhere and needs no compiler.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from stubgen.build import StubBuilder
from stubgen.capture.compiles import record_compile
from stubgen.capture.links import record
from stubgen.compileplan.ninja_deps import SIGNATURE
from stubgen.elf import constants as e
from stubgen.elf.reader import ElfFile
from stubgen.elf.records import EHDR, SHDR, SYM
from stubgen.generations.state import SCHEMA

SEEDS = Path(__file__).parent / "seeds"

C = """
struct item { const char *name; int price; struct item *next; };
typedef int (*action)(struct item *, int);
extern int host_value, total(int), missing(void) __attribute__((weak));
static struct item first = {"bolt", 7, 0};
static int calls, table[4] = {1, 2, 3, 4};
_Thread_local int depth = 3;
static _Thread_local long mine;
__attribute__((weak)) int weak_default(int x) { return x + 1; }
static int add(struct item *it, int n) { calls++; mine += n; return it->price * n + table[n & 3]; }
static int drop(struct item *it, int n) { return it->price - n; }
action actions[] = {add, drop};
__attribute__((constructor)) static void begin(void) { depth++; }
int f(int n) { switch (n) { case 1: return total(n); case 2: return host_value; case 3: return 9; case 4: return calls;
  case 5: return depth; } return missing ? missing() : actions[n & 1](&first, n); }
int main(void) { return f(3) + weak_default(2); }
"""
PROVIDER = "int host_value = 4; int total(int n) { return n * host_value; }\n"
CPP = """
struct Base { virtual int value() const { return 1; } virtual ~Base() {} };
struct Derived : Base { int value() const override { if (n > 3) throw n; return n; } int n = 2; };
template <class T> inline T twice(T x) { static T last; T was = last; last = x; return x + was; }
inline int counter = 5;
int run(int n) { static Derived d; d.n = n; try { return twice(d.value()) + counter; } catch (int e) { return e; } }
"""
WEAK = "template <class T> T kept = 1;\nint *g(int x) { kept<int> += x; return &kept<int>; }\n"
SESSION = {
    "schema": SCHEMA,
    "session": "0123456789abcdef0123456789abcdef",
    "host": {"path": "/src/shop", "identity": "build-id 0123"},
    "anchor": {"name": "main", "static_address": 4096, "runtime_address": 0x5500001000},
    "pid": 7,
    "relink_earlier": False,
    "keep_state": True,
    "functions": [["price", [4160]]],
    "generations": [
        {
            "generation": 1, "patch": "/src/p1.so", "library": "p1.so", "digest": "00" * 32, "time": 1.5,
            "state": "loaded", "anchor": 0x7F00000100, "first_address": 0, "slide": 0x7F00000000, "undo_to": None,
            "complete": True, "captured": "", "functions": [[0, 64, True]], "forwarders": [], "variables": ["calls"],
            "objects": [{"path": "/src/a.o", "digest": "00" * 32, "unit": "a.c"}],
        }
    ],
}  # fmt: skip
CROSS = ["clang-19", "--target=aarch64-linux-gnu", "-fPIC", "-fdebug-compilation-dir=."]
APPLE = ["clang-19", "--target=arm64-apple-macos13", "-c", "-fdebug-compilation-dir=."]
GCC = ["aarch64-linux-gnu-gcc", "-fPIC"]


class Maker:
    """Runs the tools in a folder of its own and keeps what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, text in {"a.c": C, "p.c": PROVIDER, "b.cc": CPP}.items():
            (folder / name).write_text(text)

    def run(self, *command: str) -> None:
        """One tool."""
        subprocess.run(command, cwd=self.folder, check=True)  # the compilers above

    def keep(self, kind: str, name: str, written: str) -> None:
        """The file *written* is the seed *name*."""
        target = SEEDS / kind
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / written, target / name)

    def text(self, kind: str, name: str, content: str | bytes) -> None:
        """A seed that no tool writes."""
        target = SEEDS / kind
        target.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(content.encode() if isinstance(content, str) else content)


def elf(maker: Maker) -> None:
    """Objects of two compilers, and what three linkers make of them."""
    maker.run(*CROSS, "-O1", "-c", "a.c", "-ffunction-sections", "-fdata-sections", "-o", "clang.o")
    maker.run(*GCC, "-O2", "-c", "a.c", "-o", "gcc.o")
    maker.run("aarch64-linux-gnu-g++", "-fPIC", "-O1", "-c", "b.cc", "-o", "gxx.o")
    maker.run(*CROSS, "-c", "p.c", "-o", "p.o")
    for name in ("clang.o", "gcc.o", "gxx.o"):
        maker.keep("elf-object", name, name)
    for name, flags in {"clang-g.o": ["-g", "-O0"], "clang-g2.o": ["-g", "-O2", "-gdwarf-4"]}.items():
        maker.run(*CROSS, *flags, "-c", "a.c", "-o", name)
        maker.keep("debug", name, name)
    for name, command in {"thin.o": [*CROSS, "-flto=thin"], "gcc-lto.o": [*GCC, "-flto", "-frandom-seed=1"]}.items():
        maker.run(*command, "-O1", "-c", "p.c", "-o", name)
        maker.keep("intermediate", name, name)
    maker.run(*GCC, f"-ffile-prefix-map={maker.folder}=.", "-g", "-O1", "-c", "a.c", "-o", "gcc-g.o")
    maker.keep("debug", "gcc-g.o", "gcc-g.o")
    small = ["-z", "max-page-size=4096", "--build-id=sha1", "--hash-style=both"]
    maker.run("ld.lld-19", *small, "-pie", "clang.o", "p.o", "-e", "main", "-o", "lld-pie", "-Map", "lld.map")
    maker.run("ld.lld-19", *small, "-shared", "gcc.o", "p.o", "--pack-dyn-relocs=android+relr", "-o", "lld.so")
    maker.run(
        "aarch64-linux-gnu-ld",
        *small,
        "-shared",
        "gcc.o",
        "p.o",
        "-soname",
        "libx.so.1",
        "-o",
        "bfd.so",
        "-Map",
        "bfd.map",
    )
    maker.run("mold", "-m", "aarch64linux", "-shared", *small, "gcc.o", "p.o", "-o", "mold.so")
    for name in ("lld-pie", "lld.so", "bfd.so", "mold.so"):
        maker.keep("elf", name, name)
    for name in ("lld.map", "bfd.map"):
        maker.keep("map", name, name)
    maker.run("aarch64-linux-gnu-ar", "rcs", "gnu.a", "gcc.o", "p.o")
    maker.run("llvm-ar-19", "rcs", "--format=darwin", "bsd.a", "p.o")
    maker.run("aarch64-linux-gnu-ar", "rcsT", "thin.a", "p.o")
    for name in ("gnu.a", "bsd.a", "thin.a"):
        maker.keep("archive", name, name)
    built = StubBuilder(maker.folder / "lld-pie", cache=False).build(
        [maker.folder / "gcc.o"], slide=0x5500000000, bind=True, allow_missing=True, allow_static=True
    )
    maker.text("stub", "elf.o", bytes(built.stub.content))


def macho(maker: Maker) -> None:
    """Objects, and what ld64.lld makes of them."""
    maker.run(*APPLE, "-O1", "a.c", "-o", "m.o")
    maker.run(*APPLE, "-O1", "-g", "b.cc", "-o", "mxx.o")
    maker.run(*APPLE, "p.c", "-o", "mp.o")
    for name in ("m.o", "mxx.o"):
        maker.keep("macho-object", name, name)
    link = ["ld64.lld-19", "-arch", "arm64", "-platform_version", "macos", "13", "13", "-undefined", "dynamic_lookup"]
    maker.run(*link, "-dylib", "-fixup_chains", "m.o", "mp.o", "-o", "chained.dylib", "-map", "macho.map")
    maker.run(*link, "-dylib", "-no_fixup_chains", "m.o", "mp.o", "-o", "opcodes.dylib")
    for name in ("chained.dylib", "opcodes.dylib"):
        maker.keep("macho", name, name)
    maker.keep("map", "macho.map", "macho.map")
    built = StubBuilder(maker.folder / "chained.dylib", cache=False).build(
        [maker.folder / "m.o"], slide=0x100000000, bind=True, allow_missing=True, allow_static=True
    )
    maker.text("stub", "macho.o", bytes(built.stub.content))


def rare_elf(maker: Maker) -> None:
    """What linkers and compilers write when they are asked for it: a table or a header that the others have not."""
    small = ["-z", "max-page-size=4096", "--hash-style=both", "-e", "main"]
    maker.run("ld.lld-19", *small, "-pie", "--emit-relocs", "gcc.o", "p.o", "-o", "emit-relocs")
    maker.run("aarch64-linux-gnu-ld", *small, "-static", "gcc.o", "p.o", "-o", "static")
    (maker.folder / "v.map").write_text("V1 { global: total; };\nV2 { global: host_value; local: *; } V1;\n")
    provider = ["-shared", "p.o", "-soname", "libv.so", "--version-script", "v.map"]
    maker.run("aarch64-linux-gnu-ld", *small[:3], *provider, "-o", "libv.so")
    maker.run("ld.lld-19", *small, "-pie", "gcc.o", "libv.so", "--pack-dyn-relocs=relr", "-o", "versions")
    maker.run("llvm-objcopy-19", "--strip-sections", "versions", "no-sections")
    maker.run("ld.lld-19", *small, "-pie", "clang-g2.o", "p.o", "-o", "debug-pie")
    for name in ("emit-relocs", "static", "libv.so", "versions", "no-sections", "debug-pie"):
        maker.keep("elf", name, name)
    maker.run(*GCC, "-O1", "-mbranch-protection=standard", "-c", "p.c", "-o", "bti.o")
    (maker.folder / "w.cc").write_text(
        "template <class T> T kept = 1;\nint *g(int x) { kept<int> += x; return &kept<int>; }\n"
    )
    maker.run(*CROSS, "-O1", "-c", "w.cc", "-o", "w.o")
    maker.run("aarch64-linux-gnu-ld", "-r", "bti.o", "w.o", "-o", "r.o")
    for name in ("r.o", "bti.o"):
        maker.keep("elf-object", name, name)
    (maker.folder / "extended.o").write_bytes(with_extended_numbers((maker.folder / "bti.o").read_bytes()))
    maker.keep("elf-object", "extended.o", "extended.o")
    maker.run(*CROSS, "-g", "-O2", "-ffunction-sections", "-c", "b.cc", "-o", "clangxx-g.o")
    maker.run(*CROSS, "-g", "-gz=zlib", "-O1", "-c", "a.c", "-o", "compressed.o")
    for name in ("clangxx-g.o", "compressed.o"):
        maker.keep("debug", name, name)


def with_extended_numbers(content: bytes) -> bytes:
    """An object of few sections as one of very many is: counts in section 0, symbols' sections in their own table."""
    file = ElfFile(content, "the object")
    headers = [list(section.header) for section in file.sections]
    table = next(number for number, header in enumerate(headers) if header[1] == e.SHT_SYMTAB)
    out = bytearray(content)
    homes = []
    for number in range(len(file.symbols or ())):
        at = headers[table][4] + SYM.size * number + SYM.offset("st_shndx")
        (home,) = struct.unpack_from("<H", out, at)
        homes.append(home if home < e.SHN_LORESERVE else 0)
        if home and home < e.SHN_LORESERVE:
            struct.pack_into("<H", out, at, e.SHN_XINDEX)
    out += bytes(-len(out) % 8)
    indexes = struct.pack(f"<{len(homes)}I", *homes)
    headers.append([0, e.SHT_SYMTAB_SHNDX, 0, 0, len(out), len(indexes), table, 0, 4, 4])
    out += indexes + bytes(-len(indexes) % 8)
    headers[0][5], headers[0][6] = len(headers), file.header.e_shstrndx
    names = file.header._fields
    header = list(file.header)
    header[names.index("e_shoff")], header[names.index("e_shnum")] = len(out), 0
    header[names.index("e_shstrndx")] = e.SHN_XINDEX
    out[: EHDR.size] = EHDR.struct.pack(*header)
    return bytes(out) + b"".join(SHDR.struct.pack(*one) for one in headers)


def rare_macho(maker: Maker) -> None:
    """The same of Mach-O: programs, debug information by itself, universal files, old systems."""
    link = ["ld64.lld-19", "-arch", "arm64", "-platform_version", "macos", "13", "13", "-undefined", "dynamic_lookup"]
    maker.run(*APPLE, "-O1", "-g", "a.c", "-o", "mg.o")
    link += ["-oso_prefix", f"{maker.folder}/"]
    maker.run(*link, "-execute", "-fixup_chains", "mg.o", "mp.o", "-o", "program")
    maker.run("dsymutil-19", "--flat", "program", "-o", "program.dwarf")
    maker.run(*link, "-dylib", "-no_fixup_chains", "-data_in_code_info", "mxx.o", "mp.o", "-o", "weak.dylib")
    for name in ("program", "program.dwarf", "weak.dylib"):
        maker.keep("macho", name, name)
    (maker.folder / "q.c").write_text(PROVIDER + 'asm(".data_region jt32\\n.long 0\\n.end_data_region");\n')
    maker.run(*APPLE[:1], "--target=arm64-apple-ios10", *APPLE[2:], "-O1", "q.c", "-o", "ios.o")
    maker.keep("macho-object", "ios.o", "ios.o")
    for name, options in {"fat": [], "fat64": ["-fat64"]}.items():
        maker.run("llvm-lipo-19", "-create", *options, "m.o", "-output", name)
        maker.keep("universal", name, name)


def texts(maker: Maker) -> None:
    """What is read as text."""
    words = ["-o", "lib shop.so", '"a b".o', "-Wl,-soname,libshop.so", r"c\:\\x", "'q'", "--wrap=f"]
    maker.text("words", "one", " ".join(words) + "\n\t@more.rsp\n")
    commands = {
        "cc": "cc -pie main.o shop.o -Wl,-soname,libshop.so -Wl,--version-script,x.map -lm -o shop",
        "ld": "ld.lld -pie -dynamic-linker /lib/ld.so --export-dynamic --gc-sections main.o -( libx.a -) -lc -o shop",
        "ld64": "ld64.lld -arch arm64 -platform_version macos 13 13 -dylib -install_name @rpath/x main.o -lSystem -o x",
        "clang": "clang -target arm64-apple-macos13 -dynamiclib -Xlinker -rpath -Xlinker @loader_path main.o -o x",
        "zig": "zig cc -target aarch64-linux-musl main.o -flto -o shop",
        "msvc": "link.exe /OUT:shop.exe main.obj /DEF:x.def kernel32.lib",
    }
    for name, command in commands.items():
        maker.text("command", name, "\n".join(command.split()))
    folder = maker.folder / "captured"
    argv = ["ld", "main.o", "-o", "shop"]
    link = record(argv, folder, directory="/src", environment={})
    maker.text("capture", "one.json", Path(link).read_bytes())
    compiled = record_compile(["cc", "-c", "main.c", "-o", "main.o"], folder, directory="/src", environment={})
    maker.text("compile", "one.json", Path(compiled or "").read_bytes())
    entry = {"directory": "/src", "command": "cc -c 'a b.c' -o a.o", "file": "a b.c"}
    other = {"directory": "/src", "arguments": ["cc", "-c", "b.c", "-o", "b.o"], "file": "b.c", "output": "b.o"}
    maker.text("compile-commands", "two.json", json.dumps([entry, other]))
    maker.text("session", "one.json", json.dumps(SESSION))
    log = SIGNATURE + struct.pack("<I", 4)
    for record_ in (b"a.o\0" + struct.pack("<I", 0xFFFFFFFF), b"a.c\0" + struct.pack("<I", 0xFFFFFFFE)):
        log += struct.pack("<I", len(record_)) + record_
    log += struct.pack("<5I", 1 << 31 | 16, 0, 1, 1, 1)
    maker.text("ninja", "log", log)
    maker.text("depfile", "gcc", "main.o: main.c /usr/include/a\\ b.h \\\n inc/x.h\n\ninc/x.h:\n# env-dep:CARGO=x\n")
    request = (
        b'{"jsonrpc": "2.0", "id": 1, "method": "build", "params": {"host": "shop", "objects": ["a.o"], "slide": 0}}'
    )
    maker.text("message", "one.json", request)
    maker.text("frames", "two", b"\x09" + b"Content-Length: %d\r\n\r\n%b" % (len(request), request) * 2)
    maker.text("rust-name", "v0", "_RNvMs_NtCs1234_4core3stri5parse\n_RINvNtC3std3mem8align_ofjdE\n_RNvC6_123foo3bar\n")
    maker.text("rust-name", "legacy", "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE\n_ZN3foo3barE\n")
    maker.text(
        "text-stub",
        "v4.tbd",
        "--- !tapi-tbd\ntbd-version: 4\ntargets: [ arm64-macos ]\ninstall-name: '/usr/lib/libx.dylib'\nexports:\n"
        "  - targets: [ arm64-macos ]\n    symbols: [ _f, _g ]\n"
        "    weak-symbols: [ _h ]\n    objc-classes: [ X ]\n...\n",
    )


def main() -> int:
    """Write them all."""
    with tempfile.TemporaryDirectory() as folder:
        maker = Maker(Path(folder))
        elf(maker)
        macho(maker)
        rare_elf(maker)
        rare_macho(maker)
        texts(maker)
    return 0


if __name__ == "__main__":
    sys.exit(main())
