"""The names and sections that linkers, start-up code and run-time libraries make by themselves."""

from __future__ import annotations

import pytest

from stubgen.origin import sources

NAMES = {
    "linker": """
        _DYNAMIC _GLOBAL_OFFSET_TABLE_ _TLS_MODULE_BASE_ __GNU_EH_FRAME_HDR
        end _end __end__ _edata etext __bss_start __bss_start__ _bss_end__ __bss_end__ data_start __data_start
        __executable_start __ehdr_start __ehdr
        __init_array_start __preinit_array_end __fini_array_start __rela_iplt_end __start_rows __stop_rows
        __far_veneer e843419@0001_00000002_1a0 e835769@001_4 __CortexA53843419_9000 __AArch64AbsLongThunk_far far$thunk1
        far$plt far$got far$gottp far$tlsdesc
        __mh_dylib_header __mh_bundle_header ___dso_handle __dyld_private dyld_stub_binder __dyld_stub
        _far__thunk _far.thunk.0 _objc_msgSend$count section$start$__DATA$__rows segment$end$__TEXT
    """,
    "start-up": """
        deregister_tm_clones register_tm_clones __do_global_dtors_aux frame_dummy completed completed.0
        object.1 dtor_idx.2         _init _fini __TMC_END__ __FRAME_END__ __EH_FRAME_BEGIN__ call_weak_fn
        set_fast_math __do_global_dtors_aux_fini_array_entry __frame_dummy_init_array_entry __CTOR_LIST__ __DTOR_END__
        __do_init __do_fini.1 __init __fini __on_dlclose __on_dlclose_late __atexit_handler_wrapper note_android_ident
    """,
    "runtime": """
        __addtf3 __floatunsitf __muldc3 __udivti3 __truncdfhf2 __extendbfsf2 __powidf2 __addvsi3_one
        __aarch64_cas8_acq_rel __aarch64_ldadd4_relax __aarch64_swp1_sync
        __aarch64_have_lse_atomics __aarch64_cpu_features __aarch64_sync_cache_range init_have_lse_atomics
        __init_cpu_features_resolver
        __clear_cache __clz_tab __popcount_tab __sfp_handle_exceptions
        atexit at_quick_exit pthread_atfork __pthread_atfork stat lstat64 fstat fstatat mknod mknodat64
        __stack_chk_fail_local ___udivti3 _atexit
    """,
    "": """
        main endless the_end start_rows bss data e843419 far_thunk completed.x object dtor_idx _initial finish
        addtf3 __count __aarch64_cas have_lse clear_cache atexit2 statistics __stack_chk_fail __udivti3x ____udivti3
        xatexit segment$begin$__TEXT
    """,
}
"""Who has it -> names; of nobody: what users call their own."""


@pytest.mark.parametrize("whose", NAMES)
def test_whose_name_it_is(whose: str) -> None:
    """A user's function that counts as the linker's may be anybody's copy; a linker's of no origin stops the link."""
    tests = {
        "linker": sources.is_linker_name,
        "start-up": sources.is_start_up_name,
        "runtime": sources.is_runtime_name,
    }
    for name in NAMES[whose].split():
        assert [kind for kind, test in tests.items() if test(name.encode())] == ([whose] if whose else []), name


LINKERS_SECTIONS = """
    .dynsym .dynstr .hash .gnu.hash .gnu.version .gnu.version_r .gnu.version_d .dynamic .interp .eh_frame_hdr
    .relro_padding .rela.dyn .rela.plt .relr.dyn .rel.dyn .plt .iplt .plt.got .got .got.plt .igot .note.gnu.build-id
    .note.gnu.property .copyrel .copyrel.rel.ro
    __TEXT,__unwind_info __TEXT,__stubs __TEXT,__stub_helper __TEXT,__objc_stubs __TEXT,__init_offsets
    __DATA,__got __DATA_CONST,__got __DATA,__la_symbol_ptr __DATA,__nl_symbol_ptr __DATA_CONST,__auth_got
    __DATA,__thread_ptrs
"""
INPUTS_SECTIONS = """
    .text .data .bss .rodata .eh_frame .init_array .note.host .relations .goto .plteau .note.gnu .tdata
    __TEXT,__text __TEXT,__const __DATA,__data __DATA,__const __DATA,__mod_init_func __TEXT,__eh_frame __DATA,__stubs
"""


def test_whose_section_it_is() -> None:
    """What lies in a linker's section is the linker's, whatever its name: an input's would never be missed."""
    assert [name for name in LINKERS_SECTIONS.split() if not sources.is_linker_section(name)] == []
    assert [name for name in INPUTS_SECTIONS.split() if sources.is_linker_section(name)] == []


def test_files_whose_name_tells() -> None:
    """A local symbol's file, as symbol tables have it: base names of what compilers' own objects were made from."""
    start_up = ("crtstuff.c", "crtbegin.c", "crtend.c", "crti.c", "crtbegin_so.c", "crtend_so.S")
    assert {name.decode() for name in sources.START_UP_FILES} == {*start_up}
    assert {*sources.RUNTIME_FILES} == {b"compiler_rt"}


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        (sources.Origin(sources.Source.MEMBER, "libfoo.a", "foo.o"), "libfoo.a(foo.o)"),
        (sources.Origin(sources.Source.MEMBER, "libfoo.a", "/cache/o/1/foo.o"), "libfoo.a(foo.o)"),
        (sources.Origin(sources.Source.OBJECT, "checkout.o"), "checkout.o"),
        (sources.LINKER, "linker"),
    ],
)
def test_how_an_origin_is_said(origin: sources.Origin, said: str) -> None:
    """The words by which a user finds the file that a second copy came from."""
    assert str(origin) == said
