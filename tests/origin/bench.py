"""A host, its stubs and bound copies, to be linked by hand with each of the linkers, in good and in bad ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools import linker_folder, need, run, zig

from stubgen.bind import write_bound
from stubgen.build import StubBuilder
from stubgen.check import Checked, check_patch
from stubgen.origin.account import Definition

SLIDE = 0x5500000000

ELF = ("gnu", "lld", "mold", "zig")
MACHO = ("ld64.lld", "zig-macho")
LINKERS = (*ELF, *MACHO)
"""What tests call a linker; zig's two write no map file."""


class Tools(NamedTuple):
    """How one linker is used."""

    compile: Sequence[str]
    executable: Sequence[str]
    library: Sequence[str]
    map: Sequence[str]  # asks for link.map; empty where the linker writes none
    archiver: str


def tools(name: str, folder: Path) -> Tools:
    """The commands around the linker called *name*."""
    if name in ("zig", "zig-macho"):
        target = "aarch64-linux-gnu" if name == "zig" else "aarch64-macos"
        driver = [*zig(), "cc", "-target", target]
        pie = ["-pie"] if name == "zig" else []
        undefined = ["-Wl,-z,undefs"] if name == "zig" else ["-Wl,-undefined,dynamic_lookup"]
        plain = ["-fno-sanitize=undefined", "-fPIC", "-O1", "-c"]
        archiver = str(need("llvm-ar-19"))
        return Tools([*driver, *plain], [*driver, *pie], [*driver, "-shared", *undefined], [], archiver)
    if name == "ld64.lld":
        clang, linker, archiver = (str(need(tool)) for tool in ("clang-19", "ld64.lld-19", "llvm-ar-19"))
        link = [linker, "-arch", "arm64", "-platform_version", "macos", "13.0", "13.0", "-undefined", "dynamic_lookup"]
        compiler = [clang, "--target=arm64-apple-macos13.0", "-fno-stack-protector", "-O1", "-c"]
        return Tools(compiler, [*link, "-execute"], [*link, "-dylib"], ["-map", "link.map"], archiver)
    gcc, archiver = str(need("aarch64-linux-gnu-gcc")), str(need("aarch64-linux-gnu-ar"))
    choice = [] if name == "gnu" else [f"-fuse-ld={name}", f"-B{linker_folder(folder / 'linkers')}"]
    library = [gcc, "-shared", *choice, "-Wl,--unresolved-symbols=ignore-all"]
    return Tools([gcc, "-fPIC", "-O1", "-c"], [gcc, "-pie", *choice], library, ["-Wl,-Map=link.map"], archiver)


class Bench:
    """A folder in which a host and its patch are made."""

    def __init__(self, folder: Path, linker: str, host: str, patch: str) -> None:
        self.folder, self.tools = folder, tools(linker, folder)
        self.object("host", host)
        run([*self.tools.executable, "host.o", "-o", "host"], cwd=folder)
        self.patch = self.object("patch", patch)

    def object(self, name: str, source: str) -> Path:
        """C *source*, compiled."""
        (self.folder / f"{name}.c").write_text(source)
        run([*self.tools.compile, f"{name}.c", "-o", f"{name}.o"], cwd=self.folder)
        return self.folder / f"{name}.o"

    def archive(self, name: str, **sources: str) -> Path:
        """An archive of C *sources*."""
        members = [self.object(member, source).name for member, source in sources.items()]
        run([self.tools.archiver, "rc", name, *members], cwd=self.folder)
        return self.folder / name

    def bind(self, objects: Sequence[Path] = ()) -> list[str]:
        """The stub object and the bound copies of *objects*, as a link command has them."""
        builder = StubBuilder(self.folder / "host", cache=False)
        judged = builder.judge(list(objects) or [self.patch], slide=SLIDE, bind=True)
        built = builder.emit(judged)
        (self.folder / "stub.o").write_bytes(built.stub.content)
        assert built.bound is not None
        self.copies = [path for _, path in write_bound(built.bound, self.folder / "bound")]
        return ["stub.o", *self.copies]

    def link(self, *words: str) -> Path:
        """The patch, linked with *words*."""
        run([*self.tools.library, *words, *self.tools.map, "-o", "patch.so"], cwd=self.folder)
        return self.folder / "patch.so"

    def check(self, *archives: Path, **options: object) -> Checked:
        """The check of the linked patch, with all that is known of its link; *archives* tell where there is no map."""
        if self.tools.map:
            options.setdefault("link_map", self.folder / "link.map")
        return check_patch(
            self.folder / "patch.so",
            self.folder / "host",
            objects=[*self.copies, *(() if self.tools.map else archives)],
            stub=self.folder / "stub.o",
            **options,  # type: ignore[arg-type]  # the test's own
        )


def complaints(checked: Checked) -> list[str]:
    """What speaks against the patch."""
    return [f"{finding.check}: {finding.message}" for finding in checked.findings if not finding.ok]


def definition(checked: Checked, name: str) -> Definition:
    """The patch's only definition of C's *name*."""
    assert checked.account is not None
    spellings = (name.encode(), b"_" + name.encode())
    (found,) = (item for item in checked.account.definitions if item.name in spellings)
    return found
