"""What a definition's origin can be, and the names and sections that linkers and start-up code make by themselves."""

from __future__ import annotations

import re
from enum import Enum
from functools import cache, lru_cache
from typing import NamedTuple

from stubgen.common.text import as_text


class Source(Enum):
    """What kind of input a definition comes from."""

    OBJECT = "object"
    """A bound copy of the caller's object, or a further input that the caller named."""
    STUB = "stub object"
    BORROWED = "borrowed member"
    """A bound copy of an archive's member, in which what the host has is the host's."""
    MEMBER = "archive member"
    """As the linker took it from an archive, with all that it defines."""
    OTHER = "another object of the link"
    START_UP = "start-up code"
    RUNTIME = "run-time library"
    """Linked into every image by design: libgcc.a, compiler-rt, libc_nonshared.a."""
    LINKER = "linker"
    UNTOLD = "an input"
    """The inputs were not given, so objects and archives cannot be told apart."""
    UNKNOWN = "unknown"

    __hash__ = object.__hash__
    """By identity, as members compare: an origin is hashed for each definition, and an enum's own is Python code."""


class Origin(NamedTuple):
    """Where something comes from."""

    source: Source
    """The kind of input."""
    file: str = ""
    """Its file, as the caller or the linker spells it; an archive without its member."""
    member: str = ""
    """The archive's member, if it is one."""

    def __str__(self) -> str:
        """``checkout.o``, ``libfoo.a(foo.o)``, or the kind of source where no file is known."""
        member = self.member.rpartition("/")[2]  # zig names members by their path in its cache
        return f"{self.file}({member})" if member else self.file or self.source.value


LINKER = Origin(Source.LINKER)

_LINKER_NAMES = (
    # GNU ld's default script, lld's and mold's synthetic symbols
    r"_DYNAMIC|_GLOBAL_OFFSET_TABLE_|_PROCEDURE_LINKAGE_TABLE_|_TLS_MODULE_BASE_|__GNU_EH_FRAME_HDR",
    r"_{0,2}(?:end|edata|etext)(?:__)?|_*bss_(?:start|end)_*|(?:__)?data_start|__(?:executable|ehdr)_start|__ehdr",
    r"__(?:(?:pre)?init|fini)_array_(?:start|end)|__rela_iplt_(?:start|end)|__(?:start|stop)_\w+",
    # veneers, thunks and errata fixes: of GNU ld, lld, mold
    r"__.+_veneer|e8(?:43419|35769)@.*|__CortexA53.+|__AArch64.*Thunk_.+|.+\$(?:thunk\d*|plt|pltgot|got|gottp|tls\w+)",
    # Mach-O: ld64, ld64.lld, zig's linker
    r"__mh_(?:dylib|bundle|execute)_header|_{0,3}dso_handle|_*dyld_private|dyld_stub_binder|__dyld_\w+",
    r".+__thunk|.+\.thunk\.\d+|_objc_msgSend\$.+|(?:section|segment)\$(?:start|end)\$.+",
)
_START_UP_NAMES = (
    # GCC's crtstuff.c and the C library's crti.S, crtn.S
    r"(?:de)?register_tm_clones|__do_global_dtors_aux|frame_dummy|completed(?:\.\d+)?|object\.\d+|dtor_idx\.\d+|_init|_fini",
    r"__dso_handle|__TMC_(?:END|LIST)__|__FRAME_END__|__EH_FRAME_(?:BEGIN|LIST|LIST_END)__|call_weak_fn",
    r"set_fast_math|__(?:do_global_dtors_aux_fini|frame_dummy_init)_array_entry|__(?:CTOR|DTOR)_(?:LIST|END)__",
    # LLVM's crtbegin.c, bionic's crtbegin_so.c
    r"__do_(?:init|fini)(?:\.\w+)?|__(?:init|fini)|__on_dlclose(?:_late)?|__atexit_handler_wrapper|note_android_ident",
)
_RUNTIME_NAMES = (
    # libgcc and compiler-rt: "Integer/Floating-point library routines" of the GCC internals manual
    r"__[a-z]+?(?:[hsdtx]f|bf|[qhsdt]i|[hsdtx]c)+\d?(?:_\w+)?",
    r"__aarch64_(?:cas|swp|ldadd|ldclr|ldeor|ldset)\d+_(?:relax|acq|rel|acq_rel|sync)",
    r"__aarch64_(?:have_\w+|cpu_features|sync_cache_range)|init_have_\w+|__init_cpu_features\w*",
    r"__clear_cache|__(?:clz|popcount)_tab|__sfp_handle_exceptions",
    # libc_nonshared.a
    r"atexit|at_quick_exit|(?:__)?pthread_atfork|(?:[fl]?stat|fstatat|mknod|mknodat)(?:64)?|__stack_chk_fail_local",
)
RUNTIME_FILES = frozenset({b"compiler_rt"})
"""Source files, as ``.symtab`` names them, of run-time libraries: zig's compiler_rt is one object of 800 names."""
START_UP_FILES = frozenset({b"crtstuff.c", b"crtbegin.c", b"crtend.c", b"crti.c", b"crtbegin_so.c", b"crtend_so.S"})
"""Likewise of start-up code."""

_LINKER_SECTIONS = (
    r"\.(?:dynsym|dynstr|hash|gnu\.hash|gnu\.version(?:_[dr])?|dynamic|interp|eh_frame_hdr|relro_padding)",
    r"\.relr?a?(?:\.\w+)*|\.i?plt(?:\.\w+)*|\.i?got(?:\.\w+)*|\.note\.gnu\.(?:build-id|property)|\.copyrel(?:\.\w+)*",
    r"__TEXT,__(?:unwind_info|stubs|stub_helper|objc_stubs|init_offsets)",
    r"__DATA(?:_CONST)?,__(?:got|la_symbol_ptr|nl_symbol_ptr|auth_got|thread_ptrs)",
)
"""Sections that no input has, or whose content the linker makes whatever the inputs have under that name."""


SECTIONS = 1 << 8
"""Names of which the answer is kept: a patch has few, and each definition lies in one."""


@cache
def _pattern(which: str) -> re.Pattern[str]:
    rows = {
        "linker": _LINKER_NAMES,
        "start-up": _START_UP_NAMES,
        "runtime": _RUNTIME_NAMES,
        "sections": _LINKER_SECTIONS,
    }
    return re.compile("|".join(f"(?:{row})" for row in rows[which]))


def is_linker_name(name: bytes) -> bool:
    """Whether linkers define *name* by themselves."""
    return _pattern("linker").fullmatch(as_text(name)) is not None


def is_start_up_name(name: bytes) -> bool:
    """Whether start-up objects define *name*."""
    return _pattern("start-up").fullmatch(as_text(name)) is not None


def is_runtime_name(name: bytes) -> bool:
    """Whether a library that is linked into every image defines *name*; Mach-O's has an underscore in front."""
    text = as_text(name)
    pattern = _pattern("runtime")
    return pattern.fullmatch(text) is not None or (text[:1] == "_" and pattern.fullmatch(text[1:]) is not None)


@lru_cache(SECTIONS)
def is_linker_section(name: str) -> bool:
    """Whether linkers make the section called *name*; Mach-O: ``segment,section``."""
    return _pattern("sections").fullmatch(name) is not None
