"""What a needed symbol can become, and the tables and policies that decide it."""

from __future__ import annotations

from enum import Enum

from stubgen.common.row import Row
from stubgen.image import Kind


class Verdict(Enum):
    """What a needed symbol becomes."""

    TRAMPOLINE = "trampoline"
    """A weak hidden function in the stub object."""
    SLOT = "slot"
    """Bound copies read its address from a constant in the stub object."""
    ABSOLUTE = "absolute"
    """A weak absolute symbol in the stub object."""
    REFUSED = "refused"
    """The host has it, but nothing right can be made of it."""
    TLS = "tls"
    """Thread-local: bound copies are forwarded to the host's, else refused."""
    LOADER = "loader"
    """Left undefined: the dynamic loader finds it where the host does."""
    LINKER = "linker"
    """Left undefined: every linked image has its own."""
    AMBIGUOUS = "ambiguous"
    """Several symbols of that name."""
    WEAK_NULL = "weak-null"
    """A weak reference that nothing answers: left undefined, null at run time."""
    MISSING = "missing"
    """A strong reference that nothing answers."""


_PROBLEMS = frozenset({Verdict.REFUSED, Verdict.AMBIGUOUS, Verdict.MISSING})


class Consequence(Row):
    """What a verdict comes to, for whoever wants to know more than its reason."""

    gets: str  # what the patch gets
    otherwise: tuple[str, ...] = ()  # what else would have been possible
    advice: tuple[str, ...] = ()  # what to do, where the patch cannot work like this


_OWN = "an object of the patch that defines the name: the patch then uses its own"
_EARLIER = "an earlier patch's, where one replaced it: --previous, --override"

CONSEQUENCES = {
    Verdict.TRAMPOLINE: Consequence(
        "a weak hidden function in the stub object, which branches to the host's", (_OWN, _EARLIER)
    ),
    Verdict.SLOT: Consequence(
        "a constant in the stub object with its address, which bound copies read",
        ("an absolute symbol, with --data absolute: right on glibc and Android alone", _OWN, _EARLIER),
    ),
    Verdict.ABSOLUTE: Consequence(
        "a weak absolute symbol in the stub object",
        ("a slot, right everywhere: link, or build --bound-dir", "a refusal, with --data none"),
    ),
    Verdict.REFUSED: Consequence(
        "nothing: the host has it, and what could be made of it would be wrong",
        (_OWN,),
        ("the reason says what helps; without that, define it in the patch or do without it",),
    ),
    Verdict.TLS: Consequence(
        "the host's own variable of each thread, by a constant in the stub object",
        ("the loader, with --tls loader, where the host is a library that exports it", _OWN),
        ("link bound copies (link, build --bound-dir); for a library that exports it, --tls loader",),
    ),
    Verdict.LOADER: Consequence(
        "an undefined symbol, which the loader finds where the host does",
        (_OWN,),
    ),
    Verdict.LINKER: Consequence("the linker's own: each linked image has one"),
    Verdict.AMBIGUOUS: Consequence(
        "nothing: several are called so, and nothing says which one is meant",
        (_OWN,),
        (
            "refer to a name that the host has once: make the one that is meant visible there, or call it otherwise",
            "or let an object of the patch define it",
        ),
    ),
    Verdict.WEAK_NULL: Consequence(
        "null: nothing has it, and the reference is weak", ("a library that has it: --library", _OWN)
    ),
    Verdict.MISSING: Consequence(
        "nothing: it stays undefined, and the patch loads only if a library on its link line has it",
        ("what an archive of the host's link has: --captured, --archive", "a library that has it: --library"),
        (
            "nothing, if a library of the host's link has it, as libc has puts: the check after the link says so",
            "name what supplies it with --archive or --library, or add the object that defines it to the patch",
            "if the host should have it: link it without --gc-sections (rustc: -Clink-dead-code), or give its symbols",
        ),
    ),
}
"""Verdict -> what it comes to."""

LEFT_OUT = Consequence(
    "nothing: the host's users of it have it inlined, and a library's of that name would be another one",
    (_OWN,),
    (
        "give the patch the file that defines it, compiled again without -flto: the reason names the object",
        "or link the host without -flto",
    ),
)
"""What is missing because link-time optimisation left nothing of it."""

SHARED_CONSEQUENCES = {
    True: Consequence("the host's variable: what patch and host write is seen by both"),
    False: Consequence(
        "its own copy, which starts with the value that the patch's source gives it",
        ("the host's, where nothing speaks against it: --keep-state",),
        ("what speaks against it says what helps; or move the variable out of the objects that are recompiled",),
    ),
}
"""Whether a variable of both is forwarded -> what that comes to."""


class SlotKind(Enum):
    """What a bound copy finds in a symbol's slot."""

    ADDRESS = "address"  # 8 bytes: the runtime address
    THREAD_OFFSET = "thread offset"  # 8 bytes: what to add to the thread pointer
    DESCRIPTOR = "descriptor"  # 16 bytes: a TLS descriptor, {resolver, thread offset}
    HOST_DESCRIPTOR = "host descriptor"  # 24 bytes: {resolver, distance, address of a TLS descriptor of the host's}


class Target(Row):
    """What a reference in a bound copy means."""

    kind: Kind  # FUNCTION, DATA or THREAD_LOCAL
    slot_kind: SlotKind
    value: int  # runtime address or thread offset, in bytes
    kept: bool = False
    """It is reached as if it were near: the patch defines it too, or a borrowed member was linked beside it."""
    indirect: bool = False
    """The value is where a word of the host's holds the address: what the loader found when it loaded the host."""
    descriptor: int = 0
    """Runtime address of the TLS descriptor of the host's whose variable *value* counts from; 0: the thread pointer."""
    constant: bool = False
    """The patch's own is just like it but for the address, and will do where a reference cannot be bound."""
    has_table: bool = False
    """Code that its compiler typed as data, with a table in front of it (GHC): the trampoline's is another place."""


class DataPolicy(Enum):
    """How references to the host's data are answered (``--data``)."""

    AUTO = "auto"
    """Absolute symbols where the target's usual linker and loader are right, else refused."""
    ABSOLUTE = "absolute"
    """Always absolute symbols."""
    NONE = "none"
    """Always refused."""


ABSOLUTE_VISIBILITY = {("elf", "android"): "hidden", ("elf", "glibc"): "default"}
"""(format, C library) -> visibility under which an absolute symbol reads the right address.

Android: the NDK links with lld only, which resolves a hidden SHN_ABS symbol at link time; bionic adds the load
bias to an exported one. glibc: GNU ld turns a hidden one into R_AARCH64_RELATIVE, and glibc leaves an exported
one alone. musl adds the load base to either, and the Mach-O linkers relax the load to a PC-relative address.
"""

IMAGE_NAMES = {
    "elf": frozenset(
        b"""
        _GLOBAL_OFFSET_TABLE_ _DYNAMIC _PROCEDURE_LINKAGE_TABLE_ __dso_handle __TMC_END__ __GNU_EH_FRAME_HDR
        _IO_stdin_used _init _fini _start _TLS_MODULE_BASE_ __rela_iplt_start __rela_iplt_end
        """.split()
    ),
    "macho": frozenset(b"___dso_handle dyld_stub_binder".split()),
}
"""Names that the linker or the start-up objects define anew in each linked image."""
_INSTRUMENTATION = (b"asan_globals", b"hwasan_globals", b"__sancov_", b"__llvm_", b"xray_")
IMAGE_PREFIXES: dict[str, tuple[bytes, ...]] = {
    "elf": tuple(bound + section for bound in (b"__start_", b"__stop_") for section in _INSTRUMENTATION),
    "macho": (b"_objc_msgSend$",),
}
"""How the names of others begin: ld64's selector stubs, and the bounds of what an image registers with the run-time
libraries of sanitizers, coverage and profiles."""
PROVIDED_NAMES = {
    "elf": frozenset(
        b"""
        __ehdr_start __executable_start __bss_start __bss_start__ __bss_end__ _bss_end__ __end__ _end end _edata
        edata _etext etext __data_start data_start __preinit_array_start __preinit_array_end __init_array_start
        __init_array_end __fini_array_start __fini_array_end
        """.split()
    ),
    "macho": frozenset(),
}
"""Places in an image that linker scripts PROVIDE, without a size, unless the program defines the name itself."""


class TlsPolicy(Enum):
    """How thread-locals of a host that is a shared library are answered (``--tls``)."""

    AUTO = "auto"
    """Bound copies ask a TLS descriptor of the host's; refused where there is none."""
    LOADER = "loader"
    """Those that the host exports are left undefined for the dynamic loader."""


class Answers(Row):
    """How the caller wants symbols answered where the patch is linked from its objects as they are."""

    data: DataPolicy = DataPolicy.AUTO
    tls: TlsPolicy = TlsPolicy.AUTO
    allow_static: bool = False  # call static functions although nothing shows that they kept their arguments


class BoundAnswers(Row):
    """Likewise, where it is linked from bound copies, which reach data and thread-locals everywhere."""

    data: DataPolicy = DataPolicy.AUTO
    tls: TlsPolicy = TlsPolicy.AUTO
    keep_state: bool = False  # use the host's writable variables where patch and host both define them
    allow_static: bool = False
    linked: tuple[str, ...] = ()  # paths of the objects that the host's link named


OWN_CONSTANT = "code or data reaches it in a way that only its own can answer"
"""Why the patch has a constant of its own, as it compiles it: nothing is lost by that."""


class SharedVariable(Row):
    """A variable that the patch defines and the host has too; the patch's starts afresh, which surprises people."""

    name: str
    size: int  # bytes; 0 where the format does not say
    writable: bool
    forwarded: bool  # bound copies use the host's after all
    reason_not_kept: str = ""  # why it is not forwarded although that was wanted, or why it would not be
    patch: str = ""  # the earlier patch whose variable it is
    static_address: int | None = None  # in the host's file, or that patch's
    lost: str = ""  # whose state is not used any more, although the patch goes on with an older one
    initial_value_changed: bool = False  # the patch's object begins with another value than that file
    only_in_host: bool = False  # the patch has none of that name
    type_compared: bool = True  # debug information of both sides says the type of one that is forwarded


class Decision(Row):
    """What one needed symbol becomes, for a person or a report."""

    name: str
    """The symbol, as the patch's objects spell it."""
    verdict: Verdict
    """What becomes of it."""
    reason: str
    """Why, for people."""
    static_address: int | None
    """In the host's file."""
    runtime_address: int | None
    """In the process."""
    candidates: tuple[str, ...]
    """Of one that is ambiguous every definition; of one that is missing close names."""
    used_by: tuple[str, ...]
    """The objects that refer to it."""
    forwarded: bool = False
    """Whether it is thread-local, and bound copies reach the host's variable."""
    patch: str = ""
    """The earlier patch that defines it, if one does; :attr:`static_address` is in that one's file."""
    policy: str = ""
    """The policy that ruled so; empty if none did."""

    @property
    def is_problem(self) -> bool:
        """Whether the patch cannot work like this."""
        return self.verdict in _PROBLEMS or (self.verdict is Verdict.TLS and not self.forwarded)
