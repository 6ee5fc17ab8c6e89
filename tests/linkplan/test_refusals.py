"""Commands that no patch can come from, and drivers that stand behind another program."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stubgen.errors import PlanRefusal, StubgenError, UsageError
from stubgen.linkplan import CapturedCommand, LinkPlan, build_link_plan, wrapped_symbols
from stubgen.linkplan.every_image import IN_A_LIBRARY, ROWS, of_every_image

GCC = "aarch64-linux-gnu-gcc"


def plan(command: str, **options: object) -> LinkPlan:
    """The plan of *command* for one object."""
    return build_link_plan(shlex.split(command), objects=["p.o"], output="p.so", soname="p", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "error", "words"),
    [
        # Programs that are neither linker nor driver.
        (": '&&' g++ main.o -o app '&&' :", UsageError, "shell's"),
        (": g++ main.o -o app", UsageError, "shell's"),
        ("cd build ';' gcc a.o -o app", UsageError, "shell's"),
        ("bash -c 'gcc a.o -o app'", UsageError, "as the shell reads them"),
        ("/bin/bash ./libtool --mode=compile gcc -c a.c -o a.lo", UsageError, "--mode=link"),
        ("libtool -static -o x.a a.o", UsageError, "archives"),
        ("rustc --crate-name foo main.rs -C linker=cc -L x -o foo", UsageError, "leaves the link"),
        ("cargo build", UsageError, "leaves the link"),
        ("docker run --rm img gcc main.o -o app", UsageError, "inside"),
        ("python3 /emsdk/emcc.py a.o -o a.js", PlanRefusal, "WebAssembly"),
        ("python3 build.py a.o -o a", UsageError, "no linker"),
        ("/usr/lib/go/pkg/tool/linux_arm64/link -o a.out -buildmode=exe -extld=gcc x.a", PlanRefusal, "Go's own"),
        ("go tool link -o a.out x.a", UsageError, "cgo"),
        ("ar rcs libx.a x.o", UsageError, "archives"),
        # Options with which nothing is linked.
        (f"{GCC} '-###' a.o -o a", UsageError, "does not link"),
        (f"{GCC} -print-search-dirs", UsageError, "does not link"),
        (f"{GCC} a.o -Wl,--version", UsageError, "does not link"),
        ("ld.lld a.o --thinlto-index-only -o a", UsageError, "does not link"),
        # What no loader serves.
        ("aarch64-zephyr-elf-gcc -nostdlib -T x.ld m.o -o zephyr.elf", PlanRefusal, "dynamic loader"),
        ("riscv64-unknown-elf-gcc m.o -o m", PlanRefusal, "dynamic loader"),
        ("arm-elf-gcc m.o -o m", PlanRefusal, "dynamic loader"),
        ("ld.bfd -pie -Bstatic --no-dynamic-linker -o start start.o", PlanRefusal, "--no-dynamic-linker"),
        ("ld.bfd -pie --no-dynamic-linker -Ttext 0 -o u-boot -T u-boot.lds start.o", PlanRefusal, "boot loader"),
        (f"{GCC} -static-pie a.o -Wl,--no-dynamic-linker -o a", PlanRefusal, "static executable"),
        ("ld.bfd -T kernel.ld start.o libgcc.a -o kernel.elf", PlanRefusal, "kernel.ld"),
        (f"{GCC} -ffreestanding -nostdlib -T kernel.ld start.o -lgcc -o kernel.elf", PlanRefusal, "kernel.ld"),
        (f"{GCC} -nostdlib -T kernel.ld start.o -o kernel.elf", PlanRefusal, "kernel.ld"),
        (f"{GCC} -ffreestanding -T kernel.ld start.o -o kernel.elf", PlanRefusal, "kernel.ld"),
        ("ld.bfd -r -o driver.ko -T module.lds driver.o", PlanRefusal, "kernel module"),
        ("ld.bfd -shared -soname=linux-vdso.so.1 -o vdso.so.dbg a.o", PlanRefusal, "vDSO"),
        ("ld.bfd -EL -pie -T vmlinux.lds -o .tmp_vmlinux1 a.o", PlanRefusal, "a kernel"),
        ("ld.bfd -shared --oformat binary a.o -o a.bin", PlanRefusal, "raw image"),
        ("ld.lld -maarch64elf -shared a.o -o a", PlanRefusal, "no system"),
        ("clang --target=amdgcn-amd-amdhsa a.o -o a", PlanRefusal, "GPU"),
        ("lld -flavor gnu -m elf64_amdgpu -shared a.o -o a", PlanRefusal, "GPU"),
        ("gcc -target sparc-sun-solaris2.11 a.o -o a", PlanRefusal, "Solaris"),
        ("clang -target x86_64-scei-ps4 a.o -o a", PlanRefusal, "PlayStation"),
        ("orbis-ld a.o -o a", PlanRefusal, "PlayStation"),
        # A command that nobody can read.
        ("clang @gone.rsp", PlanRefusal, "response file"),
        ("@gone.rsp", PlanRefusal, "response file"),
    ],
)
def test_what_is_no_link_is_refused_with_its_reason(command: str, error: type[StubgenError], words: str) -> None:
    """A plan for such a command costs its user an hour, and ends in another program's error message."""
    with pytest.raises(error, match=words) as caught:
        plan(command)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        f"{GCC} -T app.ld a.o -o app",
        f"{GCC} -nostdlib -T app.ld a.o -lc -o app",
        "ld.bfd -T app.ld -dynamic-linker /lib/ld.so a.o -o app",
        "ld.bfd -T app.ld a.o libc.so.6 -o app",
        "ld.bfd -T app.ld -I/lib/ld.so a.o -o app",
        "ld.bfd -T app.ld a.o libc.so -o app",
        "ld.bfd -T app.ld a.o dir/libc.so -o app",
        "ld.bfd -r a.o -o b.o",
        "ld.bfd -r -T app.ld a.o -o b.o",
        "ld.bfd -shared --no-dynamic-linker a.o -o a.so",
        "ld.bfd -shared --oformat=default a.o -o a.so",
        "ld.bfd -shared --oformat=elf64-littleaarch64 a.o -o a.so",
        "ld.bfd -shared a.o -o a.so --oformat",
        "ld.bfd a.o -o a -T",
        "ld.bfd a.o -o a -m",
        "ld64.lld -arch arm64 -bundle -static a.o -o a",
        "ld64.lld -arch arm64 -dylib -static a.o -o a",
        "ld.lld -shared -Bstatic a.o -o images.so",
        "clang -target aarch64-linux-gnu a.o -o Images",
        "link.exe /OUT:a.exe a.obj",
    ],
)
def test_what_only_looks_like_those_is_planned(command: str) -> None:
    """Firmware is linked with scripts, and so are programs that a loader serves."""
    assert plan(command).args


@pytest.mark.parametrize(
    ("command", "planned"),
    [
        (
            "/bin/bash ./libtool --tag=CC --mode=link gcc -O2 -version-info 3:1:2 -rpath /usr/lib -o libx.la x.lo -lm",
            "gcc -O2 p.o -lm -shared",
        ),
        ("./libtool --mode=link g++ -module -export-symbols-regex '^x' -static -o x.la x.lo", "g++ -shared"),
        ("env A=1 /c/linker_driver.py -Wcrl,driver,../clang++ -Wcrl,strip,-x a.o -o a", "env A=1 ../clang++ -shared"),
        ("python3 /c/linker_driver.py -Wcrl,driver,../clang++ a.o -o a", "../clang++ -shared"),
        ("A=1 /c/linker_driver.py -Wcrl,driver,../clang++ a.o -o a", "env A=1 ../clang++ -shared"),
    ],
)
def test_the_driver_behind_a_script_is_found(command: str, planned: str) -> None:
    """Libtool would install the patch; Chromium's script would strip it."""
    line = shlex.join(plan(command, os="linux").args)
    assert line.startswith(planned), line


def test_a_libtool_library_is_the_shared_one_that_it_describes(tmp_path: Path) -> None:
    """Only libtool reads a .la file; without the library behind it the patch has nothing that supplies its imports."""
    (tmp_path / ".libs").mkdir()
    (tmp_path / ".libs/libx.so.1").touch()
    (tmp_path / "libx.la").write_text("# libtool\ndlname='libx.so.1'\nlibdir='/usr/lib'\n")
    (tmp_path / "liby.la").write_text("dlname=''\nold_library='liby.a'\n")
    made = plan("libtool --mode=link gcc a.o libx.la liby.la none.la -o app", directory=tmp_path)
    assert ".libs/libx.so.1" in made.args
    assert not [word for word in made.args if word.endswith(".la")]
    itself = plan("libtool --mode=link gcc a.o libx.la -o libx.so.1", directory=tmp_path)
    assert ".libs/libx.so.1" not in itself.args


START = "/gcc/Scrt1.o /gcc/crti.o /gcc/crtbeginS.o"
END = "/gcc/crtendS.o /gcc/crtn.o"


@pytest.mark.parametrize(
    ("captured", "planned"),
    [
        (f"ld.bfd -pie -o a {START} a.o -lc {END}", "/gcc/crti.o /gcc/crtbeginS.o p.o -lc /gcc/crtendS.o /gcc/crtn.o"),
        (f"ld.bfd -pie -o a {START} a.o {END}", "/gcc/crti.o /gcc/crtbeginS.o p.o /gcc/crtendS.o /gcc/crtn.o"),
        (f"ld.bfd -o a {START} -L/x a.o b.so.1 {END}", "/gcc/crti.o /gcc/crtbeginS.o p.o -L/x b.so.1 /gcc/crtendS.o"),
        (
            "gcc -nostdlib crti.o crtbeginS.o a.o -lc crtendS.o -o a",
            "gcc -nostdlib crti.o crtbeginS.o p.o -lc crtendS.o",
        ),
        ("clang a.o /swift/swiftrt.o -lswiftCore -o a", "clang /swift/swiftrt.o p.o -lswiftCore"),
    ],
)
def test_start_up_code_stands_around_the_patchs_objects(captured: str, planned: str) -> None:
    """Exception tables begin in crtbeginS.o and end in crtendS.o: what lies outside is not found."""
    assert planned in shlex.join(plan(captured, os="linux").args)


def test_a_programs_start_up_code_becomes_a_librarys(tmp_path: Path) -> None:
    """With crtbegin.o, whose __dso_handle is 0, a static destructor crashes the process at its end."""
    command = "ld.bfd -o a crt1.o crtbegin.o a.o -lc crtend.o"
    bare = plan(command, directory=tmp_path)
    assert "crtbegin.o" not in bare.args
    assert any("crtbegin.o" in warning and "destructors" in warning for warning in bare.warnings)
    for name in ("crtbeginS.o", "crtendS.o"):
        (tmp_path / name).touch()
    made = plan(command, directory=tmp_path)
    assert not made.warnings
    assert [Path(word).name for word in made.args if word.endswith(".o")] == ["crtbeginS.o", "p.o", "crtendS.o"]
    (tmp_path / "all.rsp").write_text(command.partition(" ")[2])
    assert "crtbeginS.o" in plan("ld.bfd @all.rsp", directory=tmp_path).args
    assert not [word for word in plan(command, directory=tmp_path, relocatable=True).args if "crt" in word]


def test_names_of_start_up_code_are_known_by_how_they_begin() -> None:
    """The quick look at a name must not miss what the table has."""
    known = "crti.o crtn.o crtfastmath.o crtbeginS.o crtendS.o crtbegin_so.o clang_rt.crtbegin-aarch64.o swiftrt.o "
    known += "swift_begin.o swift_end.o ldc_rt.dso.o libgcc.a libclang_rt.builtins-aarch64.a libclang_rt.osx.a "
    known += "libcompiler_rt.a libc_nonshared.a libpthread_nonshared.a libssp_nonshared.a libubsan_rt.a"
    assert {of_every_image(f"/x/{name}") for name in known.split()} == set(ROWS)
    assert all(of_every_image(other) for other in IN_A_LIBRARY.values())


@pytest.mark.parametrize(
    ("captured", "stays"),
    [
        ("gcc a.o libdep.so.1 /x/libother.so -o app", ["libdep.so.1", "/x/libother.so"]),
        ("gcc -shared a.o ../libapp.so.3 libapp.so x/libapp.so.3.1 -o libapp.so.3", []),
        ("gcc a.o -Wl,libdep.so -o app", ["-Wl,libdep.so"]),
        (
            "clang -target arm64-apple-macos12 a.o libdep.dylib /x/libSystem.tbd -o app",
            ["libdep.dylib", "/x/libSystem.tbd"],
        ),
    ],
)
def test_shared_libraries_by_path_stay_but_the_host(captured: str, stays: list[str]) -> None:
    """Without them the patch has no supplier for its imports; with the host itself it would load that again."""
    libraries = re.compile(r".*\.(so|so\.[\d.]+|dylib|tbd)")
    assert [word for word in plan(captured).args if libraries.fullmatch(word) and word != "p.so"] == stays
    assert not [w for w in plan(captured, relocatable=True).args if w.endswith((".dylib", ".tbd", "dep.so.1"))]


def test_what_the_caller_exports_stays() -> None:
    """The host's exports go by name; one that the patch must have is exported once."""
    apple = (
        "clang -target arm64-apple-macos12 -Wl,-exported_symbol,_f -Wl,-exported_symbol,_g -Wl,-unexported_symbol,_f"
    )
    line = shlex.join(plan(f"{apple} a.o -o a", exports=["_f", "_h"]).args)
    assert line.count("_f") == 1
    assert "_g" not in line
    assert "-Wl,-exported_symbol,_h" in line
    line = shlex.join(plan("gcc -Wl,--export-dynamic-symbol=f,--export-dynamic-symbol=g a.o -o a", exports=["f"]).args)
    assert line.count("=f") == 1
    assert "=g" not in line


def test_wrapped_names_are_data_of_the_plan() -> None:
    """The resolver must know them before there is a plan, in whichever spelling they came."""
    command = "gcc -Wl,--wrap=a -Wl,--wrap -Wl,b -Xlinker -wrap=c -Wl,--wrap,a a.o -o app"
    assert plan(command).wrapped == ("a", "b", "c")
    assert wrapped_symbols(CapturedCommand(shlex.split(command))) == ("a", "b", "c")
    assert wrapped_symbols(CapturedCommand(["gcc", "wrapper.o"])) == ()


def test_response_files_inside_a_list_for_the_linker(tmp_path: Path) -> None:
    """The linker reads them itself: whatever they name of the host would be in the patch."""
    (tmp_path / "o.rsp").write_text("a.o -soname x --as-needed")
    made = plan("gcc m.o -Wl,--start-group,@o.rsp,--end-group -Wl,-rpath,@loader_path/x -o a", directory=tmp_path)
    words = " ".join(made.args)
    assert "-Xlinker --start-group -Xlinker --as-needed -Xlinker --end-group -Wl,-rpath,@loader_path/x" in words
    assert not made.warnings
    assert plan("gcc m.o -Wl,--start-group,@gone.rsp,--end-group -o a").warnings


@pytest.mark.parametrize(
    ("captured", "planned"),
    [
        ("clang-cl.exe a.obj -o host.exe /link /DLL", "clang-cl.exe /link /DLL p.o /OUT:p.so"),
        ("clang-cl.exe a.obj /Fehost.exe /FORCE", "clang-cl.exe /FORCE p.o /link /OUT:p.so"),
    ],
)
def test_windows_compilers_name_their_output_otherwise(captured: str, planned: str) -> None:
    """An output that stays is the host's file, overwritten."""
    assert " ".join(plan(captured).args) == planned


@pytest.mark.parametrize("form", ["--shell", "plain"])
def test_a_file_name_that_is_no_text_survives_the_shell(form: str) -> None:
    """Old file systems have Latin-1 names; a folder spelled otherwise is not found."""
    folder = b"-L/caf\xe9/\x9b\xff"
    command = [sys.executable, "-m", "stubgen", "plan", "--object", "p.o", "-o", "p.so"]
    command += [*(["--shell"] if form == "--shell" else []), "--", GCC]
    words: list[str | bytes] = [*command, b"h.o", folder, "-o", "host"]
    root = Path(__file__).parents[2]
    line = subprocess.run(words, check=True, capture_output=True, cwd=root).stdout
    if form == "--shell":
        line = subprocess.run([b"sh", b"-c", b"printf '%s\\n' " + line], check=True, capture_output=True).stdout
    assert folder in line.split(b"\n")
