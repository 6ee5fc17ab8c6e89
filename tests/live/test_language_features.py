"""What programs have that few others have: their statics go on, and the process goes on with the patch's value.

Each file is compiled twice, once for the host and once for the patch, which begins with ``patch_main``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from live.live import LiveHost
from live.test_archives import make
from live.test_other_forms import HOST
from live.test_state_names import link
from tools import need, run

COUNT = "static long count = 5;"
NEXT = "long a_next(long by)"
SINGLE = f"{COUNT} {NEXT} {{ return count += by; }}"
BUSY = f"""
{COUNT} long seen = 7; static char kept[16]; void *memcpy(void *, const void *, unsigned long);
__attribute__((noinline)) static long inner(long by) {{
  char b[64];
  for (int i = 0; i < 64; i++) b[i] = (char)(by + i);
  seen++, memcpy(kept, b, 16);
  return count += by;
}}
{NEXT} {{ return inner(by) + (seen > 1000); }}
"""
FLAGS = ["-O2", "-g", "-fPIC", "-fdata-sections"]
WAYS = {
    "gcc": (["aarch64-linux-gnu-gcc"], ["aarch64-linux-gnu-g++"], "gnu"),
    "clang": (["clang-19", "--target=aarch64-linux-gnu"],) * 2 + ("lld",),
}


class Feature(NamedTuple):
    """A file, and what it is compiled with."""

    text: str
    flags: tuple[str, ...] = ()
    source: str = "a.c"
    ways: tuple[str, ...] = tuple(WAYS)
    link: str = ""


CXX = "a.cc"
COROUTINE = """
#include <coroutine>
struct Counter {
  struct promise_type {
    long value;
    Counter get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(long v) { value = v; return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
  std::coroutine_handle<promise_type> handle;
};
static long added;
static Counter counting() { for (long count = 5;;) { count += added; co_yield count; } }
static Counter *running;
extern "C" long a_next(long by) {
  if (!running) running = new Counter(counting());
  added = by, running->handle.resume();
  return running->handle.promise().value;
}
"""
FEATURES = {
    "outline atomics": Feature(
        f"static long count = 5; {NEXT} {{ return __atomic_add_fetch(&count, by, __ATOMIC_SEQ_CST); }}",
        ("-moutline-atomics",),
        ways=("gcc",),
    ),
    "atomics of 16 bytes": Feature(
        f"static _Atomic __int128 count = 5; {NEXT} {{ count += by; return (long)count; }}", link="-latomic"
    ),
    "branch protection": Feature(BUSY, ("-mbranch-protection=standard",)),
    "stack clash": Feature(BUSY, ("-fstack-clash-protection", "-fstack-protector-all")),
    "instrumented functions": Feature(BUSY, ("-finstrument-functions",)),
    "a profiler": Feature(BUSY, ("-pg",)),
    "entries to patch": Feature(BUSY, ("-fpatchable-function-entry=4,2",)),
    "no register x18": Feature(BUSY, ("-ffixed-x18",)),
    "registers zeroed": Feature(BUSY, ("-fzero-call-used-regs=all",)),
    "an ifunc": Feature(
        f"{COUNT} static long add(long by) {{ return count += by; }}"
        "static void *choose(void) { return (void *)add; }"
        f'static long chosen(long) __attribute__((ifunc("choose"))); {NEXT} {{ return chosen(by); }}'
    ),
    "constructors with priorities": Feature(
        f"{COUNT} static long made;"
        "__attribute__((constructor(300))) static void later(void) { made = made * 10 + 2; }"
        "__attribute__((constructor(200))) static void sooner(void) { made = made * 10 + 1; }"
        f"{NEXT} {{ return (count += by) + (made != 12); }}"
    ),
    "an exit handler": Feature(
        f"int atexit(void (*)(void)); {COUNT} static void end(void) {{ count = -1; }}"
        f"{NEXT} {{ static int once; if (!once) once = 1, atexit(end); return count += by; }}"
    ),
    "a name of assembly's": Feature(
        f'static long count __asm__("odd.name$") = 5; long add(long) __asm__("renamed");'
        f"long add(long by) {{ return count += by; }} {NEXT} {{ return add(by); }}"
    ),
    "an alias of a function": Feature(
        f"{COUNT} static long add(long by) {{ return count += by; }}"
        f'long other(long) __attribute__((alias("add"))); {NEXT} {{ return other(by); }}'
    ),
    "a section of its own": Feature(SINGLE.replace("count = 5", '__attribute__((section("mine"))) count = 5')),
    "a jump out of a function": Feature(
        f"#include <setjmp.h>\nstatic jmp_buf back; {COUNT}"
        "__attribute__((noinline)) static void jump(long by) { count += by; longjmp(back, 1); }"
        f"{NEXT} {{ if (!setjmp(back)) jump(by); return count; }}"
    ),
    "a nested function": Feature(
        f"{COUNT} {NEXT} {{ long add(long n) {{ return count += n + by * 0; }}"
        "long (*volatile nested)(long) = add; return nested(by); }",
        ways=("gcc",),
    ),
    "a signal's handler": Feature(
        f"#include <signal.h>\n{COUNT} static long more; static void on(int number) {{ count += more; }}"
        f"{NEXT} {{ signal(SIGUSR1, on); more = by; raise(SIGUSR1); return count; }}"
    ),
    "a structure with its own address": Feature(
        f"static struct {{ long n, *own; }} s = {{5, &s.n}}; {NEXT} {{ *s.own += by; return s.n; }}"
    ),
    "an inline namespace": Feature(
        "inline namespace v1 { namespace { long count = 5; } long add(long by) { return count += by; } }"
        f'extern "C" {NEXT} {{ return add(by); }}',
        source=CXX,
    ),
    "an ABI tag": Feature(
        f'[[gnu::abi_tag("x")]] long count = 5; extern "C" {NEXT} {{ return count += by; }}', source=CXX
    ),
    "a variable template": Feature(
        f'template <class T> long count = 5; extern "C" {NEXT} {{ return count<int> += by; }}', ("-std=c++17",), CXX
    ),
    "a coroutine": Feature(COROUTINE, ("-std=c++20",), CXX),
}
CASES = [(name, way) for name, feature in FEATURES.items() for way in feature.ways]


@pytest.mark.parametrize(("name", "way"), CASES, ids=[" ".join(case) for case in CASES])
def test_the_state_goes_on(name: str, way: str, tmp_path: Path) -> None:
    """A program that begins with 5 again has lost what it counted, and one that dies has lost all."""
    feature = FEATURES[name]
    c, cxx, linker = WAYS[way]
    program, *options = cxx if feature.source == CXX else c
    compiling = [need(program), *options, "-c", *FLAGS, *feature.flags]
    begin = ' extern "C" long patch_main() ' if feature.source == CXX else " long patch_main(void) "
    for folder, more in ((tmp_path / "built", ""), (tmp_path / "again", begin + "{ return a_next(1000); }")):
        folder.mkdir()
        (folder / feature.source).write_text(feature.text + more)
        same = f"-fdebug-prefix-map={folder}={tmp_path}"
        run([*compiling, same, folder / feature.source, "-o", folder / "a.o"])
    sources = {"b.c": HOST, **({"d.cc": "int cxx;"} if feature.source == CXX else {})}
    objects = " ".join(["built/a.o", *(f"{each[0]}.o" for each in sources), feature.link])
    host = make(tmp_path, sources, {}, objects, linker=linker)
    with LiveHost(host.path) as live:
        assert live.tell("call 3") == "call 8"
        linked = link(host, live, tmp_path / "again" / "a.o")
        assert live.patch(linked.output) == "patch 1008"
        assert live.tell("call 1") == "call 1009"
