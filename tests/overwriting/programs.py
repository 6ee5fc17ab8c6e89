"""Random files of functions that call each other, for hosts whose runtime overwrites where old functions begin.

Each function does in the patch what it does in the host, and destroys registers first. So the program's answer changes
only where a caller kept something in one of them.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

HEADER = """\
#include <stdarg.h>
#ifdef __cplusplus
extern "C" {
#endif
struct shop { long sold; double rate; int kind; };
extern struct shop shop;
extern long ticks, reported;
long finish(struct shop *of), pair(long, long), three(void), some(void), strtol(const char *, char **, int);
double weigh(double), fmod(double, double), ldexp(double, int);
void report(const char *, ...), destroy_registers(void);
#ifdef __cplusplus
}
#define SHOWN extern "C" __attribute__((aligned(16)))
#else
#define SHOWN __attribute__((aligned(16)))
#endif
#define KNOWN static __attribute__((noinline, aligned(16)))
typedef float vec __attribute__((vector_size(16)));
struct two { long a, b; };
struct three_longs { long a, b, c; };
struct pair_of_doubles { double x, y; };
"""
EVERYTHING = "#ifdef EDITED\n#define EDIT destroy_registers()\n#else\n#define EDIT (void)0\n#endif\n"
SOME = """\
#ifdef EDITED
static __attribute__((noinline)) void spoil(void) {{ __asm__ volatile("{text}" ::: {clobbered}); }}
#define EDIT spoil()
#else
#define EDIT (void)0
#endif
"""
"""The same by a function of the patch's own, which destroys only some: the others may be kept."""

TYPES = {
    "l": "long",
    "i": "int",
    "d": "double",
    "s": "float",
    "p": "struct shop *",
    "w": "vec",
    "t": "struct two",
    "b": "struct three_longs",
    "h": "struct pair_of_doubles",
    "v": "void",
}
TERMS = {"p": "{0}->sold", "w": "{0}[1]", "t": "({0}.a ^ {0}.b)", "b": "({0}.a + {0}.c)", "h": "({0}.x - {0}.y)"}
"""What a value of a type gives for arithmetic; others are numbers."""
MADE = {
    "t": "((struct two){{ (long)({0}), {1} }})",
    "b": "((struct three_longs){{ (long)({0}), {1}, 7 }})",
    "h": "((struct pair_of_doubles){{ (double)({0}), {1} }})",
    "w": "((vec){{ (float)({0}), {1}, 2, 3 }})",
}
"""And how one is made of a number."""


class Known(NamedTuple):
    """A static function of the file."""

    name: str
    result: str  # a letter of TYPES
    kinds: str  # the arguments', likewise
    variadic: bool  # int, and then as many long

    @property
    def parameters(self) -> str:
        """As they are declared."""
        if self.variadic:
            return "int p0, ..."
        return ", ".join(f"{TYPES[kind]} p{number}" for number, kind in enumerate(self.kinds)) or "void"


class Program(NamedTuple):
    """The file, and what the program's main file includes to drive it."""

    source: str
    driver: str


def program(random: Random, *, debug: bool) -> Program:
    """The program of *random*; *debug*: it calls libraries' functions, of which only -g tells what they take."""
    functions = [_known(random, number) for number in range(12)]
    bodies = [_body(random, number, functions) for number in range(len(functions))]
    drivers = [(f"d{number}", random.randrange(1, 5)) for number in range(10)]
    bodies += [_driver(random, number, drivers, functions, debug=debug) for number in range(len(drivers))]
    random.shuffle(bodies)
    declared = [f"KNOWN {TYPES[one.result]} {one.name}({one.parameters});" for one in functions]
    shown = [f"SHOWN long {name}({', '.join(['long'] * count)});" for name, count in drivers]
    edit = EVERYTHING if random.random() < 0.7 else _some(random)
    calls = [f'printf("%ld ", {n}({", ".join(str(7 + 3 * x) for x in range(count))}));' for n, count in drivers]
    end = 'printf("%ld %ld %d %ld\\n", reported, shop.sold, shop.kind, ticks);'
    begin = "shop = (struct shop){1, 2.5, 3};\n  ticks = 4, reported = 0;\n  alarm(2);"
    run = "\n  ".join(["static void run(void) {", begin, *calls, end]) + "\n}\n"
    driver = "\n".join(line.removeprefix("SHOWN ") for line in shown) + "\n" + run
    return Program(HEADER + edit + "\n".join([*declared, *shown, *bodies]) + "\n", driver)


def _some(random: Random) -> str:
    general = [f"x{number}" for number in range(16) if random.random() < 0.4] or ["x9"]
    vectors = [f"v{number}" for number in (*range(8), *range(16, 32)) if random.random() < 0.4]
    text = [
        *(f"mov {name}, -{name[1:]}" for name in general),
        *(f"movi {name}.16b, 7" for name in vectors),
        "cmp x0, x1",
    ]
    clobbered = [f'"{name}"' for name in (*general, *vectors, "cc", "memory")]
    return SOME.format(text="\\n".join(text), clobbered=", ".join(clobbered))


def _known(random: Random, number: int) -> Known:
    variadic = random.random() < 0.08
    kinds = "il" if variadic else "".join(random.choice("lllidspwtbh") for _ in range(random.randrange(5)))
    return Known(f"f{number}", "l" if variadic else random.choice("vlliddtbhws"), kinds, variadic)


def _body(random: Random, number: int, functions: list[Known]) -> str:
    one = functions[number]
    terms = [TERMS.get(kind, "{0}").format(f"p{place}") for place, kind in enumerate(one.kinds)]
    lines = ["EDIT;"]
    if one.variadic:
        lines.append("long sum = 0; va_list given; va_start(given, p0);")
        lines.append("for (int k = 0; k < p0; k++) sum = sum * 3 + va_arg(given, long); va_end(given);")
        terms = ["sum"]
    value = " + ".join(f"{term} * {random.randrange(1, 9)}" for term in terms) or str(random.randrange(9))
    if random.random() < 0.5:
        lines.append(f"ticks += {random.randrange(9)};")
    if "p" in one.kinds and random.random() < 0.7:
        lines.append(f"p{one.kinds.index('p')}->kind++;")
    if number and random.random() < 0.35:
        lines.append(f"(void){_call(random, random.choice(functions[:number]), terms)};")
    if one.kinds[:1] == "l" and not one.variadic and random.random() < 0.3:
        others = [f"p{place}" for place in range(1, len(one.kinds))]
        lines.append(f"if (p0 > 0 && p0 < 9) (void){one.name}({', '.join(['p0 - 3', *others])});")
    if one.result != "v":
        made = MADE.get(one.result, f"({TYPES[one.result]})({{0}})").format(value, random.randrange(9))
        lines.append(f"return {made};")
    return f"KNOWN {TYPES[one.result]} {one.name}({one.parameters}) {{ {' '.join(lines)} }}"


def _call(random: Random, one: Known, numbers: list[str]) -> str:
    """A call of *one* with some of *numbers*."""

    def given(kind: str) -> str:
        number = random.choice(numbers or ["3"])
        if kind == "p":
            return "&shop"
        return MADE[kind].format(number, random.randrange(9)) if kind in MADE else f"({TYPES[kind]})({number})"

    if one.variadic:
        count = random.randrange(4)
        return f"{one.name}({', '.join([str(count), *(given('l') for _ in range(count))])})"
    return f"{one.name}({', '.join(map(given, one.kinds))})"


def _driver(random: Random, number: int, drivers: list[tuple[str, int]], functions: list[Known], *, debug: bool) -> str:
    """A function that main calls: calls of others, and values that it needs again after them."""
    name, count = drivers[number]
    longs, doubles = [f"a{place}" for place in range(count)], ["x"]
    lines = ["double x = a0 * 0.5;"]
    steps = range(random.randrange(2, 8))
    lines.extend(_step(random, f"v{step}", longs, doubles, functions, debug=debug) for step in steps)
    if number and random.random() < 0.3:
        other, needed = drivers[random.randrange(number)]
        lines.append(f"long other = {other}({', '.join(random.choice(longs) for _ in range(needed))});")
        longs.append("other")
    end = random.choice(
        [
            f"{random.choice(longs)} + {random.choice(longs)} * 3",
            f"pair({random.choice(longs)}, {random.choice(longs)})",
            f"(long)({random.choice(doubles)} * 10) ^ {random.choice(longs)}",
            random.choice(longs),
        ]
    )
    parameters = ", ".join(f"long a{place}" for place in range(count))
    return f"SHOWN long {name}({parameters}) {{ {' '.join(lines)} return {end}; }}"


def _step(
    random: Random, name: str, longs: list[str], doubles: list[str], functions: list[Known], *, debug: bool
) -> str:
    """A statement; what it gives joins *longs* or *doubles*, and is called *name*."""
    which = random.random()
    if which < 0.65:
        return _used(random, name, random.choice(functions), longs, doubles)
    if which < 0.72:
        text = f"long {name} = pair({random.choice(longs)}, {random.choice(longs)});"
    elif which < 0.79:
        of = random.choice(doubles)
        of_library = [f"fmod({of}, {random.choice(doubles)} + 9)", f"ldexp({of}, 2)"]
        double = random.choice(of_library if debug else [f"weigh({of})"])
        doubles.append(name)
        return f"double {name} = {double};"
    elif which < 0.86:
        text = f"long {name} = {random.choice(['three()', 'some()', 'finish(&shop)'])};"
    elif which < 0.93:
        return f'report("%ld %ld %.2f", {random.choice(longs)}, {random.choice(longs)}, {random.choice(doubles)});'
    else:
        times = random.randrange(2, 5)
        return f"for (long k = 0; k < {times}; k++) {random.choice(longs)} += {random.choice(longs)} ^ k;"
    longs.append(name)
    return text


def _used(random: Random, name: str, one: Known, longs: list[str], doubles: list[str]) -> str:
    """A call of a known function, by a pointer now and then, in a loop now and then."""
    call = _call(random, one, [*longs, *doubles])
    before = ""
    if random.random() < 0.12:
        parameters = "int, ..." if one.variadic else ", ".join(TYPES[kind] for kind in one.kinds) or "void"
        before = f"{TYPES[one.result]} (*volatile {name}f)({parameters}) = {one.name}; "
        call = f"{name}f{call.removeprefix(one.name)}"
    if one.result == "v":
        times = random.randrange(2, 4)
        return before + (f"for (long k = 0; k < {times}; k++) {call};" if random.random() < 0.3 else f"{call};")
    if one.result in "dshw":
        doubles.append(name)
    else:
        longs.append(name)
    if one.result in TERMS:
        term, number = TERMS[one.result].format(f"{name}r"), "double" if one.result in "hw" else "long"
        return f"{before}{TYPES[one.result]} {name}r = {call}; {number} {name} = {term};"
    return f"{before}{'double' if one.result in 'ds' else 'long'} {name} = {call};"
