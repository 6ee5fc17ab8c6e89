"""The rules of a plan, one line each: captured arguments, and what stays of them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from stubgen.errors import PlanRefusal, UsageError
from stubgen.linkplan import Action, LinkerOs, LinkPlan, build_link_plan, decisions, linker_os_for_host, toolchain
from stubgen.linkplan.options import Role

GCC = "aarch64-linux-gnu-gcc"
APPLE = "clang -target arm64-apple-macos12"


def plan(command: str, **options: object) -> LinkPlan:
    """The plan of *command* for one object."""
    return build_link_plan(shlex.split(command), objects=["p.o"], output="p.so", **options)  # type: ignore[arg-type]


def kept(command: str, **options: object) -> str:
    """What stays of *command*, behind the program."""
    made = plan(command, **options)
    stays = [word for edit in made.edits if edit.action is not Action.ADDED for word in edit.after]
    return shlex.join(stays[made.fixed :])


@pytest.mark.parametrize(
    ("captured", "stays"),
    [
        # One option over several arguments.
        ("-Wl,-soname -Wl,libz.so.1 -lm", "-lm"),
        ("-Wl,-soname,libz.so.1,--version-script,zlib.map -lm", "-lm"),
        ("-Wl,-rpath -Wl,/x -Xlinker -rpath -Xlinker /y", "-Wl,-rpath -Wl,/x -Xlinker -rpath -Xlinker /y"),
        ("-Xlinker -soname=libz.so -Xlinker -z -Xlinker now", "-Xlinker -z -Xlinker now"),
        ("-Wl,-rpath x.o -lm y.o", "-Wl,-rpath x.o -lm"),
        ("--for-linker=-soname --for-linker=a.so --for-linker --gc-sections", ""),
        # Of a list, only what goes goes.
        ("-Wl,-z,now,-z,defs,-z,relro", "-Wl,-z,now,-z,relro"),
        ("-Wl,--as-needed,a.o,--no-as-needed,-Map=x.map", "-Wl,--as-needed,--no-as-needed"),
        ("-Wl,-z -Wl,defs -Wl,--build-id", "-Wl,--build-id"),
        ("-Wl,-rpath,", "-Wl,-rpath,"),
        ("-Wl,,-x", "-Wl,"),
        # Outputs in every form.
        ("-o out -oout2 -Wl,-o,out3 --output=out4 --output out5", ""),
        ("-MF deps.d -MJ db.json -Wl,-Map,x.map -Wl,--dependency-file=x.d", ""),
        (
            "-Wl,-Map,x.map -Wl,--verbose -Wl,--trace -Wl,--verbose=99",
            "",
        ),  # busybox: its whole linker script, each time
        # Kinds of output.
        ("-shared -pie -no-pie -r -rdynamic", "-rdynamic"),
        ("-Wl,-shared -Wl,-pie", ""),
        # Undefined symbols.
        ("-Wl,--no-undefined -Wl,--unresolved-symbols=report-all -z defs -zdefs -z now -Wl,-zdefs", "-z now"),
        (
            "-Wl,--error-unresolved-symbols -Wl,--no-allow-shlib-undefined -Wl,--allow-shlib-undefined",
            "-Wl,--allow-shlib-undefined",
        ),
        # Operands that look like inputs.
        ("-Wl,-plugin,/x/liblto.so -Xclang -load -Xclang x.so", "-Wl,-plugin,/x/liblto.so -Xclang -load -Xclang x.so"),
        ("-mllvm -sub -mllvm -sobf --sysroot / -B /x/y.a", "-mllvm -sub -mllvm -sobf --sysroot / -B /x/y.a"),
        (
            "-include pre.h -isystem /x.a -I inc.o -D X.o -MT y.o",
            "-include pre.h -isystem /x.a -I inc.o -D X.o -MT y.o",
        ),
        ("-u sym.o -L dir.a -l m -idirafter d.o", "-L dir.a -l m -idirafter d.o"),
        (
            "-Wl,--wrap,malloc.o -Wl,-dynamic-linker,/lib/ld.so.1 -Wl,-I/lib/ld.so.1 -I include",
            "-Wl,--wrap,malloc.o -I include",
        ),
        # Inputs that look like something else.
        ("x.rcgu.rmeta x.rcgu.o.rcgu.o libc++.so.21 a@@b.o plain/name script.ld x.lo liby.la", "libc++.so.21"),
        ("main.c -x c++ y.cc -x none", ""),
        ("'' -lm", "'' -lm"),
        # Options that a shorter joined option must not swallow.
        ("-objcmt-migrate-all -undef -emit-llvm -hidden", "-objcmt-migrate-all -undef -emit-llvm -hidden"),
        # Executable-only and identity.
        ("-e main -Wl,--entry=main -Wl,-e,main -Tlink.ld -T link.ld -Wl,-Ttext=0x1000 -Wl,--image-base=0", ""),
        ("-Wl,-h,libx.so -Wl,-hlibx.so -Wl,--soname,libx.so", ""),
        # One name, two options: the driver's and the linker's.
        ("-h a -Wl,-h,libx.so -Wl,-Yx -Y t", "-h a -Wl,-Yx -Y t"),
        # Stripping and lists.
        ("-s -Wl,-s -Wl,-S -Wl,-x -Wl,--gc-sections -Wl,--strip-all -Wl,--no-gc-sections", "-Wl,--no-gc-sections"),
        ("-Wl,--dynamic-list=x -Wl,--retain-symbols-file,x -Wl,--no-undefined-version -Wl,--emit-relocs", ""),
        ("-Wl,--export-dynamic-symbol-list=x -Wl,--export-dynamic-symbol=y -Wl,-E", "-Wl,-E"),
        # Cut-off commands: an open option must not take the patch's own arguments.
        ("-lm -o", "-lm"),
        ("-lm -Xlinker", "-lm"),
        ("-lm -Wl,-rpath", "-lm"),
        ("-tp -lm", "-tp -lm"),
        ("-tp haswell -lm", "-tp haswell -lm"),
        ("-lm -- -x.o", "-lm"),
        # The unknown.
        ("--frobnicate x.o -frob=y.o -qfoo bare", "--frobnicate -frob=y.o -qfoo bare"),
        ("-Wl,rpath,/x -Wl,--unknown-thing=1", "-Wl,rpath,/x -Wl,--unknown-thing=1"),
    ],
)
def test_gnu_drivers(captured: str, stays: str) -> None:
    """Each line is a way in which a real build spelled it."""
    assert kept(f"{GCC} {captured}") == stays


@pytest.mark.parametrize(
    ("captured", "stays"),
    [
        ("-install_name @rpath/x.dylib -compatibility_version 1 -current_version 2 -lz", "-lz"),
        (
            "-Xlinker -sectcreate -Xlinker __TEXT -Xlinker __info -Xlinker I.o -filelist l.txt",
            "-Xlinker -sectcreate -Xlinker __TEXT -Xlinker __info -Xlinker I.o",
        ),
        ("-sectcreate __TEXT __info I.plist x.o", "-sectcreate __TEXT __info I.plist"),
        ("-Wl,-force_load -Wl,/x/l.rlib -Wl,-force_load,y.a -force_load z.a", ""),
        ("-Wl,-syslibroot /sdk x.o -l System", "-Wl,-syslibroot /sdk -l System"),
        ("-undefined dynamic_lookup -Wl,-undefined,error -Wl,-U,_x", "-Wl,-U,_x"),
        (
            "-Wl,-alias,_a,_b -Xlinker -alias -Xlinker _c -Xlinker _d.o -Wl,-i_e:_f,-w",
            "-Wl,-w",
        ),
        (
            "-framework Cocoa -weak_framework X -F /f.a -iframework g.a -isysroot /s.dylib",
            "-framework Cocoa -weak_framework X -F /f.a -iframework g.a -isysroot /s.dylib",
        ),
        (
            "-Xlinker -object_path_lto -Xlinker x_lto.o -Xlinker -dependency_info -Xlinker x.dat -Xlinker -w",
            "-Xlinker -w",
        ),
        (
            "-dynamiclib -bundle -Wl,-no_pie -Wl,-dead_strip -dead_strip -Wl,-dead_strip_dylibs",
            "-Wl,-dead_strip_dylibs",
        ),
        ("-exported_symbols_list x.exp -Wl,-order_file,o.txt -Wl,-exported_symbol,_keep -w", "-w"),
        ("-e _main -bundle_loader app -pagezero_size 0x1000 -Wl,-stack_size,0x100 -Xlinker -x", ""),
        (
            "-rpath @loader_path/x.dylib -Xlinker -rpath -Xlinker @executable_path",
            "-rpath @loader_path/x.dylib -Xlinker -rpath -Xlinker @executable_path",
        ),
        (
            "-Wl,-lto_library,/x/libLTO.dylib -Xlinker -add_ast_path -Xlinker x.swiftmodule",
            "-Wl,-lto_library,/x/libLTO.dylib -Xlinker -add_ast_path -Xlinker x.swiftmodule",
        ),
    ],
)
def test_apple_drivers(captured: str, stays: str) -> None:
    """Each line is what Xcode, CMake, rustc or SwiftPM writes."""
    assert kept(f"{APPLE} {captured}") == shlex.join(["-target", "arm64-apple-macos12", *shlex.split(stays)])


@pytest.mark.parametrize(
    ("program", "captured", "stays"),
    [
        (
            "ld.lld",
            "-o out -shared -soname=x -z defs -L/x -lc crt1.o --gc-sections -m aarch64linux",
            "-L/x -lc -m aarch64linux",
        ),
        ("ld.lld", "-oformat -oout --oformat elf64-x", "--oformat elf64-x"),
        ("ld.bfd", "-soname x --soname=y -no-undefined -Lx -Tx.ld -T y.ld -Ttext 0 -Yx -am", "-Lx -Yx -am"),
        ("mold", "-rpath /x -rpath=/y --rpath /z -z nodlopen -znow", "-rpath /x -rpath=/y --rpath /z -znow"),
        ("rust-lld -flavor gnu", "x.o -znoexecstack --as-needed", "-znoexecstack --as-needed"),
        (
            "ld64.lld",
            "-arch arm64 -platform_version macos 11 12 -o out -dylib x.o -lcrt1.o -lSystem -ofoo.x",
            "-arch arm64 -platform_version macos 11 12 -lSystem -ofoo.x",
        ),
        (
            "lld -flavor darwin",
            "-arch arm64 -rename_section A B C D.o -platform_version 1 11.0 12.0 -x -S -no_uuid",
            "-arch arm64 -rename_section A B C D.o -platform_version 1 11.0 12.0 -no_uuid",
        ),
        ("link.exe", r"/nologo C:\x\a.obj /OUT:a.dll b.lib /LIBPATH:C:/l /IMPLIB:x.lib", "/nologo /LIBPATH:C:/l"),
    ],
)
def test_linkers_run_directly(program: str, captured: str, stays: str) -> None:
    """``ld`` reads its own grammar, without a driver's."""
    assert kept(f"{program} {captured.replace(chr(92), chr(92) * 2)}") == stays


@pytest.mark.parametrize(
    ("captured", "goes"),
    [
        ("-lhost -lhostile -L.", "-lhost"),
        ("-l host", "-l host"),
        ("-Wl,-lhost", "-Wl,-lhost"),
        ("-l:libhost.so -l:libother.so", "-l:libhost.so"),
    ],
)
def test_the_host_is_no_library_of_the_patch(captured: str, goes: str) -> None:
    """A needed-library entry for the host loads a second copy of it, or fails in Android's namespaces."""
    for options in ({"host": "/app/libhost.so"}, {}):
        made = plan(f"{GCC} -o out/libhost.so {captured}", **options)
        dropped = [shlex.join(edit.before) for edit in made.edits if "the host:" in edit.why]
        assert dropped == [goes]


def test_the_host_as_framework_and_library_file() -> None:
    """An iOS app's code may live in a framework that its own plug-ins link."""
    words = "-framework Host -framework Hostile -Xlinker -weak_library -Xlinker /x/libHost.dylib"
    assert kept(f"{APPLE} {words}", host="Host") == kept(
        f"{APPLE} -framework Hostile -Xlinker -weak_library -Xlinker /x/libHost.dylib"
    )
    assert "libHost" not in kept(f"{APPLE} {words}", host="/x/libHost.dylib")


def test_archives_of_the_workspace_behind_a_colon(tmp_path: Path) -> None:
    """``-l:libx.a`` names a file: one of the build is the host's code, one of the system is a library."""
    system = tmp_path / "system"
    build = tmp_path / "build"
    for folder, name in ((system, "libsys.a"), (build / "lib", "libmine.a")):
        folder.mkdir(parents=True)
        (folder / name).touch()
    stays = kept(f"{GCC} -L{system} -Llib -l:libsys.a -l:libmine.a -l:libgone.a", directory=build)
    assert stays == f"-L{system} -Llib -l:libsys.a -l:libgone.a"


def test_a_files_contents_do_not_matter_but_its_presence_does(tmp_path: Path) -> None:
    """A bare linker script is an input although nothing in its name says so."""
    (tmp_path / "nvhpc").write_text("INSERT AFTER .data")
    assert kept(f"{GCC} nvhpc other -lm", directory=tmp_path) == "other -lm"


@pytest.mark.parametrize(
    ("command", "added"),
    [
        (
            GCC,
            "-shared -Wl,--unresolved-symbols=ignore-all -Wl,--export-dynamic-symbol=f -Wl,-soname,n stub.o "
            "p.o -o p.so",
        ),
        ("ld.lld", "-shared --unresolved-symbols=ignore-all --export-dynamic-symbol=f -soname n stub.o p.o -o p.so"),
        ("zig cc -target aarch64-linux-gnu", "-shared -Wl,-z,undefs -Wl,-soname,n stub.o p.o -o p.so"),
        (
            "zig cc -target aarch64-macos",
            "-shared -Wl,-undefined,dynamic_lookup -Wl,-install_name,n stub.o p.o -o p.so",
        ),
        (APPLE, "-shared -Wl,-undefined,dynamic_lookup -Wl,-exported_symbol,f -Wl,-install_name,n stub.o p.o -o p.so"),
        (
            "ld64.lld -arch arm64",
            "-dylib -undefined dynamic_lookup -exported_symbol f -install_name n stub.o p.o -o p.so",
        ),
        (
            "swiftc -target x86_64-unknown-linux-gnu -emit-executable",
            "-emit-library -Xlinker --unresolved-symbols=ignore-all -Xlinker --export-dynamic-symbol=f "
            "-Xlinker -soname -Xlinker n stub.o p.o -o p.so",
        ),
        ("link.exe /nologo", "stub.o p.o /OUT:p.so"),
    ],
)
def test_what_is_added_and_in_which_order(command: str, added: str) -> None:
    """Each program at hand has its own spelling of the same five things."""
    made = plan(command, extra=["stub.o"], exports=["f"], soname="n")
    words = [word for edit in made.edits if edit.action is Action.ADDED for word in edit.after]
    assert shlex.join(words) == added


@pytest.mark.parametrize(
    ("command", "added"),
    [
        (f"{GCC} -Wl,--as-needed x.o", "stub.o p.o libz.so.1 -shared"),
        (f"{GCC} x.o -lm", "stub.o p.o libz.so.1 -shared"),
        (f"{GCC} x.o -Wl,-Bstatic -lm", "stub.o p.o libz.so.1 -shared"),
        ("ld.bfd --as-needed -lm x.o", "stub.o p.o libz.so.1 -shared"),
        ("zig cc -target aarch64-linux-gnu x.o", "stub.o p.o libz.so.1 -shared"),
        (f"{APPLE} x.o", "stub.o p.o libz.dylib -shared"),
        ("ld64.lld -arch arm64 x.o -lz", "stub.o p.o libz.tbd -dylib"),
    ],
)
@pytest.mark.parametrize("keyword", ["libraries", "extra"])
def test_libraries_come_behind_the_objects(command: str, added: str, keyword: str) -> None:
    """GNU ld under ``--as-needed``, which Debian's gcc passes by itself, links none in front of what asks for it."""
    library = next(word for word in added.split() if word.startswith("lib"))
    wishes = {"extra": ["stub.o"]}
    wishes[keyword] = [*wishes.get(keyword, []), library]
    made = plan(command, **wishes)
    assert added in shlex.join(word for edit in made.edits if edit.action is Action.ADDED for word in edit.after)


@pytest.mark.parametrize(
    ("words", "times"),
    [("main.o -lz", 0), ("main.o libz.so", 0), ("main.o -l:libz.so.1", 0), ("-lz main.o", 1), ("main.o -lm", 1)],
)
def test_a_library_that_stands_behind_the_objects_is_not_named_again(tmp_path: Path, words: str, times: int) -> None:
    """Twice on one line is what people ask about; in front of the host's first object it answers nothing."""
    (tmp_path / "libz.so.1").write_bytes(b"\x7fELF" + bytes(12) + b"\x03\x00")
    (tmp_path / "libz.so").symlink_to("libz.so.1")
    made = plan(f"{GCC} -L. {words}", libraries=[tmp_path / "libz.so.1"], directory=tmp_path)
    assert made.args.count(str(tmp_path / "libz.so.1")) == times


def test_other_systems_are_only_stripped() -> None:
    """Where this tool does not know the rules, it adds nothing but what it was given."""
    made = plan(f"{GCC} -shared -o x x.o -lm", os=LinkerOs.OTHER)
    assert made.args[1:] == ("-lm", "p.o", "-o", "p.so")


def test_an_export_that_is_already_there_is_not_added_again() -> None:
    """Planning a plan must not grow it."""
    made = plan(f"{GCC} -Wl,--export-dynamic-symbol=f", exports=["f"])
    assert [word for word in made.args if "export" in word] == ["-Wl,--export-dynamic-symbol=f"]


def test_names_with_commas_go_through_xlinker() -> None:
    """``-Wl,`` would split them."""
    made = plan(GCC, soname="a,b")
    assert "-Xlinker -soname -Xlinker a,b" in " ".join(made.args)


def test_every_patch_has_its_own_name() -> None:
    """A second patch with the first one's soname is never loaded; the same request gives the same bytes."""
    names = {
        next(word for word in build_link_plan([GCC], objects=[name], output="p.so").args if "soname" in word)
        for name in ("a.o", "b.o", "a.o")
    }
    assert len(names) == 2
    assert all(name.startswith("-Wl,-soname,p-") and name.endswith(".so") for name in names)


def test_relative_names_become_absolute_where_the_link_runs_elsewhere(tmp_path: Path) -> None:
    """The plan runs in the captured folder, and the user named the objects from another one."""
    made = plan(GCC, directory=tmp_path)
    assert made.args[-3:] == (str(Path.cwd() / "p.o"), "-o", str(Path.cwd() / "p.so"))
    assert made.directory == str(tmp_path)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("clang -target arm64-apple-ios17.0 x.o", "iOS device"),
        ("clang -arch arm64 -miphoneos-version-min=12.0 x.o", "iOS device"),
        ("clang -isysroot /X/iPhoneOS.platform/Developer/SDKs/iPhoneOS17.sdk x.o", "iOS device"),
        ("cc -arch arm64 -L/r/lib/rustlib/aarch64-apple-ios/lib x.o", "iOS device"),
        ("xcrun -sdk iphoneos clang x.o", "iOS device"),
        ("ld -arch arm64 -platform_version ios 17.0 17.0 x.o", "iOS device"),
        ("ld64.lld -arch arm64 -platform_version 2 17.0 17.0 x.o", "iOS device"),
        ("clang --target=wasm32-wasi x.o", "WebAssembly"),
        ("rust-lld -flavor wasm x.o", "WebAssembly"),
        ("emcc x.o", "WebAssembly"),
        ("gcc -static x.o", "static executable"),
        ("gcc -static-pie x.o", "static executable"),
        ("ld.lld -static -o a x.o", "static executable"),
        ("ld64.lld -static -arch arm64 x.o", "static executable"),
        ("arm-none-eabi-gcc -T x.ld x.o", "dynamic loader"),
        ("riscv64-unknown-elf-gcc x.o --target=riscv64gc-unknown-none-elf", "dynamic loader"),
        ("nvcc -dlink x.o", "GPU"),
        ("/go/pkg/tool/linux_arm64/link -o a.out -importcfg cfg -buildmode=exe _pkg_.a", "Go's own package format"),
    ],
)
def test_hopeless_links_are_refused(command: str, reason: str) -> None:
    """A plan that links but can never load costs its user a day."""
    with pytest.raises(PlanRefusal, match=reason):
        plan(command)


@pytest.mark.parametrize(
    "command",
    [
        "clang -target arm64-apple-ios17.0-simulator x.o",
        "clang -arch x86_64 -mios-simulator-version-min=12.0 x.o",
        "clang -arch arm64 -miphoneos-version-min=12.0 -isysroot /X/iPhoneSimulator.platform/SDKs/x.sdk x.o",
        "cc -L/r/lib/rustlib/aarch64-apple-ios-sim/lib x.o",
        "cc -L/r/lib/rustlib/x86_64-apple-ios/lib x.o",
        "clang -target arm64-apple-ios14.0-macabi x.o",
        "ld64.lld -arch arm64 -platform_version ios-simulator 17.0 17.0 x.o",
        "gcc -shared -static-libgcc x.o -m64",
        "gcc -shared -static x.o",
        "ld.lld -pie -dynamic-linker /lib/ld.so -static -lx -Bdynamic x.o",
    ],
)
def test_their_neighbours_are_not(command: str) -> None:
    """Simulators, Mac Catalyst and libraries with static parts all take patches."""
    assert plan(command).args[-1] == "p.so"


def test_compiling_is_not_linking() -> None:
    """The wrong record of a build directory full of them."""
    with pytest.raises(UsageError, match="compiles and does not link"):
        plan("gcc -c x.c")
    with pytest.raises(UsageError, match="at least one object"):
        build_link_plan(["gcc"], objects=[], output="p.so")
    with pytest.raises(UsageError, match="empty"):
        build_link_plan([], objects=["p.o"], output="p.so")


def test_a_layout_goes() -> None:
    """A library's script may link the host again (INPUT) and hide what the patch exports (VERSION)."""
    assert kept("ld -shared -T library.lds x.o", os=LinkerOs.LINUX) == ""
    assert kept("ld -T app.lds x.o -lc", os=LinkerOs.LINUX) == "-lc"


@pytest.mark.parametrize(
    ("magic", "system"),
    [
        (b"\x7fELF", LinkerOs.LINUX),
        (b"\xcf\xfa\xed\xfe", LinkerOs.MACOS),
        (b"\xca\xfe\xba\xbe", LinkerOs.MACOS),
        (b"MZ\x90\0", LinkerOs.OTHER),
        (b"", LinkerOs.OTHER),
    ],
)
def test_linker_os_for_host(tmp_path: Path, magic: bytes, system: LinkerOs) -> None:
    """Builders ask this before they have a captured command."""
    (tmp_path / "host").write_bytes(magic)
    assert linker_os_for_host(tmp_path / "host") is system


@pytest.mark.parametrize(
    ("command", "environment", "added"),
    [
        ("clang -arch arm64 -mmacosx-version-min=11.0", {}, ("-isysroot", "/sdk/macosx")),
        ("clang -target arm64-apple-ios17-simulator", {}, ("-isysroot", "/sdk/iphonesimulator")),
        ("ld -arch arm64 -dylib", {}, ("-syslibroot", "/sdk/macosx")),
        ("clang -arch arm64 -isysroot /mine", {}, ()),
        ("ld -arch arm64 -dylib -syslibroot /mine", {}, ()),
        ("clang -arch arm64", {"SDKROOT": "/mine"}, ()),
        ("zig cc -target aarch64-macos", {}, ()),
        ("aarch64-linux-gnu-gcc", {}, ()),
    ],
)
def test_a_missing_sdk_comes_from_xcrun(
    tmp_path: Path,
    command: str,
    environment: dict[str, str],
    added: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Outside of Xcode's own shell, Apple's clang finds no libSystem without an SDK."""
    executable(tmp_path / "xcrun", 'echo "a warning" >&2; echo "/sdk/$2"')
    monkeypatch.setattr(toolchain, "SYSTEM_XCRUN", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    made = plan(command, environment=environment)
    assert [edit.after for edit in made.edits if "xcrun" in edit.why] == ([added] if added else [])


def executable(path: Path, script: str) -> None:
    """A program of the shell's."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("command", ["cc -arch arm64 main.o -o app", "ld64.lld -arch arm64 main.o -o app"])
@pytest.mark.parametrize("own", [True, False])
def test_a_plan_runs_nothing_that_the_captured_command_names(
    tmp_path: Path, command: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look at a plan of somebody's build log must not run what lies in the folders that the log names."""
    trap = tmp_path / "trap"
    for name in ("xcrun", "cc", "ld64.lld", "ld", "xcodebuild"):
        executable(tmp_path / "record" / name, f"echo >> {trap}; echo /sdk")
    if own:
        executable(tmp_path / "mine" / "xcrun", 'echo "/sdk/${DEVELOPER_DIR-mine}"')
    monkeypatch.setattr(toolchain, "SYSTEM_XCRUN", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'mine'}:/usr/bin:/bin")
    monkeypatch.delenv("DEVELOPER_DIR", raising=False)
    environment = {"PATH": str(tmp_path / "record"), "DEVELOPER_DIR": str(tmp_path / "record")}
    monkeypatch.chdir(tmp_path / "record")
    made = plan(command, environment=environment, directory=str(tmp_path / "record"))
    assert [edit.after[1] for edit in made.edits if "xcrun" in edit.why] == (["/sdk/mine"] if own else [])
    assert not trap.exists()


def test_edits_say_for_which_roles_something_went() -> None:
    """A program that asks what became of inputs or outputs needs no sentence for that, which may change."""
    made = plan(f"{GCC} x.o -o out -Wl,-soname,a,--gc-sections,-z,now -lm -lself -L", host="libself.so")
    assert {shlex.join(edit.before): edit.dropped_roles for edit in made.edits if edit.before} == {
        GCC: (),
        "x.o": (Role.INPUT,),
        "-o out": (Role.OUTPUT,),
        "-Wl,-soname,a,--gc-sections,-z,now": (Role.IDENTITY, Role.STRIP),
        "-lm": (),
        "-lself": (),
        "-L": (),
    }


def test_a_reasons_words_move_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever corrects a sentence must not change where the patch's objects stand, behind whose libraries they link."""
    command = f"{GCC} -shared-libgcc x.o -lm"
    before = plan(command).args
    reworded = decisions.HOST_INPUT._replace(why="goes")
    monkeypatch.setattr(decisions, "HOST_INPUT", reworded)
    after = plan(command)
    assert "goes" in {edit.why for edit in after.edits}
    assert after.args == before


def test_libraries_are_known_by_every_name_that_finds_the_host() -> None:
    """``-lx`` and ``-lx.1`` both find ``libx.1.dylib``: a patch that links either loads the host again."""
    words = "-lx -lx.1 -lx.1.2 -l1 -lxx -l dylib"
    assert kept(f"{APPLE} {words}", host="/x/libx.1.dylib") == kept(f"{APPLE} -lx.1.2 -l1 -lxx -l dylib")
    assert kept(f"{GCC} {words}", host="/x/libx.so.1") == "-lx.1 -lx.1.2 -l1 -lxx -l dylib"
