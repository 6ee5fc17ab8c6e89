"""A small program as a value: files, variables, functions, statements; nothing of any language.

All arithmetic is on 64 bits without sign, and a value is cut down where it is stored. So nothing that a compiler may
assume (overflow, order of evaluation, strict aliasing) decides what a program prints, and each language can say it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

MASK = (1 << 64) - 1


class Leaf(NamedTuple):
    """What one cell of a variable holds: a number of *bits* bits, or what *kind* says."""

    kind: str  # "number", "bool", "double", "string", "pointer" (to a u64), "function" (of one argument), "object"
    bits: int = 64
    signed: bool = False
    of: str = ""  # the class that a pointer to an object knows

    def stored(self, value: int) -> int:
        """What reading it answers after *value* was stored."""
        if self.kind == "bool":
            return value & 1
        if self.kind == "double":
            return value & 0xFFFF  # exact in a double
        low = value & ((1 << self.bits) - 1)
        return (low - (1 << self.bits)) & MASK if self.signed and low >> (self.bits - 1) else low


class Variable(NamedTuple):
    """A variable of a file, or of one function of it."""

    name: str
    fields: tuple[tuple[str, Leaf], ...]  # one, called "", unless it is a structure
    count: int = 0  # elements of an array; 0 where it is none
    initial: tuple[Any, ...] = ()  # a value for each cell; empty is zero: numbers, text, names of what is pointed to
    linkage: str = "static"  # "static", "global", "hidden", "weak", "inline" (in every file that uses it)
    constant: bool = False
    thread_local: bool = False
    function: str = ""  # whose local static it is
    dynamic: bool = False  # its initial value is computed at first use, or at the start (C++)
    volatile: bool = False
    of: str = ""  # the class of which it is an object
    label: str = ""  # the assembler's name of it, where the source says one
    alias: str = ""  # a variable of its file that it is another name of
    form: str = ""  # "atomic", a "union" with its bytes, the array at the end of a structure ("flexible")
    anonymous: bool = False  # a static one is that by a namespace without a name (C++)

    @property
    def identity(self) -> tuple[str, bool]:
        """What makes it another one for a linker if an edit changes it."""
        return self.symbol, self.anonymous and self.linkage == "static"

    @property
    def symbol(self) -> str:
        """What tells it from others of its function, or of no function."""
        return self.label or self.name

    @property
    def cells(self) -> int:
        """How many leaves it has."""
        return len(self.fields) * max(self.count, 1)

    def leaf(self, cell: int) -> Leaf:
        """The type of one of them."""
        return self.fields[cell % len(self.fields)][1]


class Place(NamedTuple):
    """A cell of a variable: a field of the element that *index* chooses, modulo the number of elements."""

    variable: str
    field: int = 0
    index: Expression | None = None


class Constant(NamedTuple):
    """A number."""

    value: int


class Argument(NamedTuple):
    """A parameter of the function."""

    number: int


class Accumulator(NamedTuple):
    """The function's one local variable, which it returns."""


class Load(NamedTuple):
    """What a place of a number holds."""

    place: Place


class Through(NamedTuple):
    """What the pointer in a place leads to."""

    place: Place


class Letter(NamedTuple):
    """A character of the string that a place holds; 0 behind its end."""

    place: Place
    index: int


class Binary(NamedTuple):
    """An operation: ``+ - * ^ & |``."""

    operator: str
    left: Expression
    right: Expression


class Call(NamedTuple):
    """A call by name: of what the linker bound it to, or of what the runtime looks up for it."""

    function: str
    arguments: tuple[Expression, ...]
    looked_up: bool = False


class CallThrough(NamedTuple):
    """A call by the pointer in a place."""

    place: Place
    argument: Expression
    looked_up: bool = False


class LeadsTo(NamedTuple):
    """1 where the pointer in a place leads to that variable's first cell, else 0."""

    place: Place
    variable: str


class Catch(NamedTuple):
    """The value of an expression, or what an exception thrown in it carries, plus *more*."""

    value: Expression
    more: int


class CallVirtual(NamedTuple):
    """A call of a function of the object that a place is, or leads to, by the table that the object has."""

    place: Place
    via: str  # the class as which the object is known; it declares the function
    method: str
    argument: Expression
    looked_up: bool = False
    direct: bool = False  # of that class's function, whatever the object is


class Fresh(NamedTuple):
    """What a function of an object says that is made for this call, and deleted."""

    of: str
    via: str
    method: str
    argument: Expression


Expression = Constant | Argument | Accumulator | Load | Through | Letter | Binary | Call | CallThrough | LeadsTo | Catch
Expression |= CallVirtual | Fresh


class Set(NamedTuple):
    """The accumulator gets a value."""

    value: Expression


class Store(NamedTuple):
    """A place of a number gets a value."""

    place: Place
    value: Expression


class StoreThrough(NamedTuple):
    """What the pointer in a place leads to gets a value."""

    place: Place
    value: Expression


class Point(NamedTuple):
    """A place of a pointer, a function or a string gets what *target* names; a string's is its text."""

    place: Place
    target: str


class Make(NamedTuple):
    """A place gets the address of an object that is made for it, and stays."""

    place: Place
    of: str


class If(NamedTuple):
    """Statements for a bit of a value that is set, and for one that is not."""

    value: Expression
    bit: int
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...] = ()


class Repeat(NamedTuple):
    """Statements, *count* times."""

    count: int
    body: tuple[Statement, ...]


class Switch(NamedTuple):
    """What is added to the accumulator by a value's low bits; a table of jumps if there are enough."""

    value: Expression
    cases: tuple[int, ...]
    by: str = ""  # a table of labels in place of a switch: "const" or "static"; "distance": of distances between them


class Throw(NamedTuple):
    """An exception with a value, if a bit of the accumulator is set."""

    bit: int
    value: Expression


Statement = Set | Store | StoreThrough | Point | If | Repeat | Switch | Throw | Make


class Function(NamedTuple):
    """A function that takes numbers and returns its accumulator."""

    name: str
    parameters: tuple[Leaf, ...]
    body: tuple[Statement, ...]
    linkage: str = "static"  # "static", "global", "hidden", "weak", "inline" (in every file that uses it)
    inlining: str = "never"  # "never", "free", "always", "template"
    entry: bool = False  # the runtime calls it
    label: str = ""  # the assembler's name of it, where the source says one
    alias: str = ""  # a function of its file that it is another name of
    by: str = ""  # what makes it that: "" (the attribute), "ifunc", "defsym"
    form: str = ""  # "variadic" behind its first parameter, "wide": it returns a structure
    anonymous: bool = False  # a static one is that by a namespace without a name (C++)
    starts: bool = False  # it is a constructor, which runs when what it is in is loaded

    @property
    def identity(self) -> tuple[str, bool]:
        """What makes it another one for a linker if an edit changes it."""
        return self.symbol, self.anonymous and self.linkage == "static"

    @property
    def symbol(self) -> str:
        """What tells it from others, its parameters aside."""
        return self.label or self.name

    @property
    def takes_one(self) -> bool:
        """Whether its address fits a place of kind "function"."""
        return self.parameters == (Leaf("number"),) and not self.form


class File(NamedTuple):
    """A translation unit."""

    name: str
    variables: tuple[Variable, ...]
    functions: tuple[Function, ...]


class Class(NamedTuple):
    """A class; its functions are the program's, called ``class::name``."""

    name: str
    bases: tuple[tuple[str, bool], ...] = ()  # their names, and whether they are virtual bases
    fields: tuple[tuple[str, Leaf, int], ...] = ()  # name, type and first value
    methods: tuple[str, ...] = ()  # that it declares, in order: ``unsigned long (unsigned long)``
    plain: tuple[str, ...] = ()  # those of them that are not virtual
    destructor: bool = False  # a virtual one, inline and empty


class Program(NamedTuple):
    """Files, and where each is linked from."""

    files: tuple[File, ...]
    archived: tuple[str, ...] = ()  # files that are in an archive
    shared: tuple[str, ...] = ()  # files that are in a shared library, which no edit changes
    classes: tuple[Class, ...] = ()  # of its header, bases first
    library: tuple[str, ...] = ()  # modules of a library crate, which use nothing of the program's own crate (Rust)

    def file(self, name: str) -> File:
        """The file of that name."""
        return next(file for file in self.files if file.name == name)


def seen_from(program: Program, file: str) -> tuple[File, ...]:
    """The files whose names that file may use."""
    if file not in program.library:
        return program.files
    return tuple(each for each in program.files if each.name in program.library)


def is_plain(definition: Function | Variable) -> bool:
    """Whether the symbol is the name alone in Rust (``no_mangle``)."""
    if isinstance(definition, Function):
        return definition.entry or definition.linkage == "weak"
    return definition.linkage == "weak" and not definition.thread_local


NODES = {
    kind.__name__: kind
    for kind in (
        *(Leaf, Variable, Place, Constant, Argument, Accumulator, Load, Through, Letter, Binary, Call, CallThrough),
        *(CallVirtual, Fresh, Make, Class, LeadsTo, Catch, Set, Store, StoreThrough, Point, If, Repeat, Switch, Throw),
        *(Function, File, Program),
    )
}


def parts(node: Any) -> Iterator[Any]:
    """*node* and all that is in it, nodes alone, in no order."""
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, tuple):
            if type(found) is not tuple:
                yield found
            waiting.extend(found)


@lru_cache(maxsize=1 << 12)
def variables_in(node: Any) -> frozenset[str]:
    """The names of variables that a function, statement or expression names; of what a Point names, perhaps."""
    return frozenset(
        part.target if isinstance(part, Point) else part.variable
        for part in parts(node)
        if isinstance(part, (Place, LeadsTo, Point))
    )


@lru_cache(maxsize=1 << 12)
def functions_in(node: Any) -> frozenset[str]:
    """The names of functions that a function, statement or expression names; of what a Point names, perhaps."""
    return frozenset(
        part.target if isinstance(part, Point) else part.function
        for part in parts(node)
        if isinstance(part, (Call, Point))
    )


def encode(node: Any) -> Any:
    """*node* as JSON has it."""
    if isinstance(node, tuple):
        name = type(node).__name__
        return [*([name] if type(node) is not tuple else ["tuple"]), *map(encode, node)]
    return node


def decode(document: Any) -> Any:
    """The node that :func:`encode` made *document* of."""
    if isinstance(document, list):
        name, *rest = document
        return tuple(map(decode, rest)) if name == "tuple" else NODES[name](*map(decode, rest))
    return document


def dumps(node: Any) -> str:
    """*node* as text."""
    return json.dumps(encode(node), separators=(",", ":"))
