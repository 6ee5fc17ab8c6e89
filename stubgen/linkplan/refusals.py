"""Commands that link nothing that a patch could be loaded into, by what their options say together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stubgen.common.row import Row
from stubgen.errors import PlanRefusal, UsageError
from stubgen.linkplan.decisions import Context, is_versioned
from stubgen.linkplan.options import Role
from stubgen.linkplan.tokens import Item, Tokens
from stubgen.linkplan.toolchain import basename

KERNEL_FILES = (
    (r".*\.ko", "a kernel module"),
    (r"vmlinux(?:\.\w+)*|vmlinuz|[bz]?Image|xen-syms", "a kernel"),
    (r"(?:linux-)?(?:vdso|gate)(?:32|64)?(?:\.lds|\.so[\w.]*)", "a vDSO"),
    (r"u-boot(?:[-.]\w+)*", "a boot loader"),
)
"""What a file's name says that is linked: the output's, the library's own name or the linker script's."""

EMULATIONS = {
    "elf64_amdgpu": "GPU device code",
    "aarch64elf": "a program for no system",
    "aarch64elfb": "a program for no system",
    "aarch64elf32": "a program for no system",
    "armelf": "a program for no system",
    "elf32_sparc_sol2": "a program for Solaris",
    "elf64_sparc_sol2": "a program for Solaris",
    "elf_i386_sol2": "a program for Solaris",
    "elf_x86_64_sol2": "a program for Solaris",
}
"""Operands of ``-m`` -> what is linked; Linux's have ``linux`` in them where there are two."""

BUILT_IN = frozenset({"gcc"})
"""Libraries that a program for no system links as well."""


class _Said(Row):
    """What the options of a command say of its output."""

    static: str
    """The option for a static executable, or ``""``."""
    loaded: bool
    """A loader is named, or it is no executable."""
    no_loader: bool
    """``--no-dynamic-linker``."""
    script: str
    """The linker script, or ``""``."""
    alone: bool
    """There is a script, and no library of a system is linked."""
    files: tuple[str, ...]
    """Output, the library's own name, linker scripts."""


def refuse_other_links(tokens: Tokens, context: Context) -> None:
    """Refuse a command that links nothing, or only what no library can be loaded into.

    Raises:
        UsageError: it does not link.
        PlanRefusal: nothing can be loaded into what it links.
    """
    telling = [item for item in tokens.items if item.option is not None and id(item.option.role) in _TELLING]
    said = _read(telling, tokens, context)
    for kind in _kernel_files(said):
        raise PlanRefusal(f"{kind}, which no process loads by itself, so nothing there can load a patch")
    for item in telling:
        assert item.option is not None  # noqa: S101  # or it says nothing
        rule = RULES.get(item.option.role)
        if rule is not None:
            rule(item)
    if said.static and not said.loaded:
        raise PlanRefusal(
            f"{said.static}: the command links a static executable, which has no loader that could load a patch; link "
            "the host dynamically"
        )
    if said.no_loader and not said.loaded:
        raise PlanRefusal(
            "--no-dynamic-linker: the command links a program without a dynamic loader, so nothing there can load a "
            "patch"
        )
    if said.alone and not said.loaded:
        raise PlanRefusal(
            f"{said.script}: the command lays out a program of its own and links no library, so it has no dynamic "
            "loader that could load a patch"
        )


def _refuse_compilation(item: Item) -> None:
    assert item.option is not None  # noqa: S101  # it has a role
    if not item.linker:
        raise UsageError(
            f"{item.option.name}: the captured command compiles and does not link; give the command that linked "
            "the host"
        )


def _refuse_no_link(item: Item) -> None:
    assert item.option is not None  # noqa: S101  # it has a role
    raise UsageError(
        f"{item.option.name}: with it the program prints or writes something else and does not link; give the command "
        "that linked the host"
    )


def _refuse_format(item: Item) -> None:
    if item.values and not item.values[0].startswith(("elf", "default")):
        raise PlanRefusal(
            f"--oformat {item.values[0]}: the command writes a raw image, which has no dynamic loader that could load "
            "a patch"
        )


def _refuse_emulation(item: Item) -> None:
    kind = EMULATIONS.get(item.values[0]) if item.values else None
    if kind is not None:
        raise PlanRefusal(
            f"-m {item.values[0]}: the command links {kind}, without a dynamic loader that could load a patch"
        )


RULES = {
    Role.COMPILE: _refuse_compilation,
    Role.NO_LINK: _refuse_no_link,
    Role.OUTPUT_FORMAT: _refuse_format,
    Role.TARGET: _refuse_emulation,
}
"""Roles of which one option is enough."""

_TELLING = frozenset(
    id(role)
    for role in (
        *(Role.STATIC, Role.RELOCATABLE, Role.EXECUTABLE, Role.MODE, Role.SHARED, Role.LAYOUT, Role.OUTPUT),
        *(Role.IDENTITY, *RULES),
    )
)
"""Roles that say something of the output, by identity: an enum's members are slow to look up."""


def _read(telling: Sequence[Item], tokens: Tokens, context: Context) -> _Said:
    static = script = ""
    loaded, no_loader = context.captured_shared, False
    files: list[str] = []
    for item in telling:
        assert item.option is not None  # noqa: S101  # or it says nothing
        role, name = item.option.role, item.option.name
        if role is Role.STATIC:
            static = name
        elif role is Role.RELOCATABLE or name in ("--dynamic-linker", "-I", "-bundle"):
            loaded = True
        elif name == "--no-dynamic-linker":
            no_loader = True
        elif role is Role.LAYOUT and item.values:
            script = item.values[0]
            files.append(script)
        elif role in (Role.OUTPUT, Role.IDENTITY):
            loaded = loaded or role is Role.IDENTITY
            files += item.values
    return _Said(static, loaded, no_loader, script, bool(script) and not _links_a_system(tokens, context), tuple(files))


def _links_a_system(tokens: Tokens, context: Context) -> bool:
    """Whether a system's library is linked: by name, by path, or by the driver itself."""
    if context.toolchain.driver and {"-nostdlib", "-ffreestanding"}.isdisjoint(tokens.arguments):
        return True
    for item in tokens.items:
        if item.option is None:
            if item.values and (item.values[0].endswith(".so") or is_versioned(item.values[0])):
                return True
        elif item.option.role in (Role.LIBRARY, Role.LIBRARY_FILE, Role.FRAMEWORK) and not BUILT_IN.issuperset(
            item.values
        ):
            return True
    return False


def _kernel_files(said: _Said) -> Iterator[str]:
    for file in said.files:
        name = basename(file)
        if name.endswith(".ko") or name.startswith(_KERNEL_STARTS):
            import re

            for pattern, kind in KERNEL_FILES:
                if re.fullmatch(pattern, name):
                    yield f"{file}: the command links {kind}"


_KERNEL_STARTS = ("vmlinu", "Image", "bImage", "zImage", "xen-syms", "linux-", "vdso", "gate", "u-boot")
"""How the names of :data:`KERNEL_FILES` begin that do not end in ``.ko``."""
