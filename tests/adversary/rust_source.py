"""A file of a program as a module of a Rust crate: the twin of ``c_source.py``.

Statics are ``static mut``, atomics or cells, those of threads ``thread_local!``; loops are closures, tables of jumps
``match``, exceptions panics, templates generic functions, and some functions are methods of a trait.
"""

from __future__ import annotations

from collections.abc import Iterator

from adversary.model import (
    Accumulator,
    Argument,
    Binary,
    Call,
    CallThrough,
    Catch,
    Constant,
    Expression,
    Function,
    If,
    LeadsTo,
    Leaf,
    Letter,
    Load,
    Place,
    Point,
    Program,
    Repeat,
    Set,
    Statement,
    Store,
    StoreThrough,
    Switch,
    Through,
    Throw,
    Variable,
    is_plain,
    seen_from,
)
from adversary.rust_crates import LIBRARY, crate_of
from adversary.rust_types import POINTER, atomic, form, is_computed, is_implementation, leaf_type, looked_up_as

VISIBILITY = {"static": "", "global": "pub ", "weak": "pub ", "hidden": "pub(crate) ", "inline": "pub "}
INLINING = {"template": "", "never": "#[inline(never)] ", "free": "", "always": "#[inline(always)] "}
METHODS = {"+": "wrapping_add", "-": "wrapping_sub", "*": "wrapping_mul"}
CAUGHT = (
    "match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {})) {{ Ok(value) => value, "
    "Err(thrown) => thrown.downcast::<u64>().map_or(1, |value| *value).wrapping_add({}u64) }}"
)


IMPLEMENTATION = """pub struct {0}_t;
impl crate::Called for {0}_t {{ fn called(&self, value: u64) -> u64 {{ {0}(value) }} }}"""
"""What has a table of methods, in which a function is."""


class RustSource:
    """The text of one module.

    Args:
        program: what it is a file of.
        file: its name.
    """

    def __init__(self, program: Program, file: str) -> None:
        self.program = program
        self.file = program.file(file)
        self._function = ""

    def text(self) -> str:
        """All of it."""
        own = [variable for variable in self.file.variables if not variable.function]
        structures = [self._structure(variable) for variable in self.file.variables if variable.fields[0][0]]
        bodies = [self._body(function) for function in self.file.functions]
        bodies += [IMPLEMENTATION.format(each.name) for each in self.file.functions if is_implementation(each)]
        definitions = [self._definition(variable) for variable in own]
        return "\n".join(["use core::sync::atomic::Ordering::Relaxed;", *structures, *definitions, *bodies, ""])

    def _structure(self, variable: Variable) -> str:
        fields = ", ".join(f"pub {name}: {leaf_type(leaf)}" for name, leaf in variable.fields)
        return f"#[derive(Clone, Copy)] pub struct {self._tag(variable)} {{ {fields} }}"

    @staticmethod
    def _tag(variable: Variable) -> str:
        return f"{variable.function}{variable.name}_t"

    def _definition(self, variable: Variable) -> str:
        """A static, or a constant."""
        linkage = self._visibility(variable.linkage)
        if variable.linkage == "weak" and not variable.thread_local:
            linkage = f"#[unsafe(no_mangle)] {linkage}"
        element = self._tag(variable) if variable.fields[0][0] else leaf_type(variable.fields[0][1])
        kind = form(variable)
        if kind in ("atomic", "lazy"):
            element = atomic(variable)
        name = f"[{element}; {variable.count}]" if variable.count else element
        value = self._first_value(variable, kind)
        match kind:
            case "thread":
                first = f"core::cell::UnsafeCell::new({value})"
                first = first if is_computed(variable) else f"const {{ {first} }}"
                return f"thread_local! {{ {linkage}static {variable.name}: core::cell::UnsafeCell<{name}> = {first}; }}"
            case "lazy":
                lazy = f"std::sync::LazyLock<{name}>"
                return f"{linkage}static {variable.name}: {lazy} = std::sync::LazyLock::new(|| {value});"
            case "cell":
                return f"{linkage}static {variable.name}: crate::Cell<{name}> = crate::Cell::new({value});"
            case "fixed":
                return f"{linkage}static {variable.name}: crate::Fixed<{name}> = crate::Fixed({value});"
        return f"{linkage}{kind} {variable.name}: {name} = {value};".replace("atomic ", "static ")

    def _first_value(self, variable: Variable, kind: str) -> str:
        values = [
            self._initial(variable.leaf(number), value)
            for number, value in enumerate(variable.initial or (0,) * variable.cells)
        ]
        if kind == "lazy":
            number = variable.leaf(0)
            values = [f"{atomic(variable)}::new(crate::computed({values[0]} as u64) as {leaf_type(number)})"]
        if kind == "atomic":
            values = [f"{atomic(variable)}::new({value})" for value in values]
        width = len(variable.fields)
        if variable.fields[0][0]:
            rows = [values[at : at + width] for at in range(0, len(values), width)]
            names = [name for name, _ in variable.fields]
            values = [
                f"{self._tag(variable)} {{ {', '.join(map(': '.join, zip(names, row, strict=True)))} }}" for row in rows
            ]
        return f"[{', '.join(values)}]" if variable.count else values[0]

    def _initial(self, leaf: Leaf, value: int | str) -> str:
        if isinstance(value, str):
            return self._target(leaf, value)
        number = leaf.stored(value)
        if leaf.kind == "bool":
            return "true" if number else "false"
        if leaf.kind == "double":
            return f"{number}.0"
        number = number - (1 << 64) if leaf.signed and number >> 63 else number
        return f"{number}{leaf_type(leaf)}"

    def _target(self, leaf: Leaf, name: str) -> str:
        """What is stored in a place so that it leads to *name*."""
        if leaf.kind == "string":
            return f'"{name}"'
        return f"{self._path(name)} as {POINTER}" if leaf.kind == "function" else f"unsafe {{ {self._address(name)} }}"

    def _address(self, name: str) -> str:
        file, variable = self._variable(name)
        if form(variable) != "static mut":
            raise KeyError(name)  # no constant expression
        field = f".{variable.fields[0][0]}" if variable.fields[0][0] else ""
        return f"(&raw mut {self._qualified(file, name)}{'[0]' if variable.count else ''}{field})"

    def _variable(self, name: str) -> tuple[str, Variable]:
        """What *name* means in the function that is being written, and the file that has it."""
        here, own = self.file.name, self.file.variables
        found = [(here, v) for v in own if v.name == name and v.function == self._function and v.function]
        found += [(here, v) for v in own if v.name == name and not v.function]
        found += [
            (file.name, v)
            for file in seen_from(self.program, self.file.name)
            for v in file.variables
            if v.name == name and v.linkage != "static"
        ]
        return found[0]

    def _visibility(self, linkage: str) -> str:
        """How a definition is seen: everything of a library is the program's as well."""
        return "pub " if linkage == "hidden" and self.file.name in self.program.library else VISIBILITY[linkage]

    def _callee(self, name: str) -> tuple[str, Function]:
        own = [(self.file.name, function) for function in self.file.functions if function.name == name]
        every = (
            (file.name, f)
            for file in seen_from(self.program, self.file.name)
            for f in file.functions
            if f.name == name and f.linkage != "static"
        )
        found = next(iter([*own, *every]), None)
        if found is None:
            raise KeyError(name)  # another crate's, which this one does not know
        return found

    def _path(self, name: str) -> str:
        """A function, as the file says it."""
        return self._qualified(self._callee(name)[0], name)

    def _qualified(self, file: str, name: str) -> str:
        if file == self.file.name:
            return name
        own = crate_of(self.program, file) == crate_of(self.program, self.file.name)
        return f"{'crate' if own else LIBRARY}::{file}::{name}"

    def _head(self, function: Function) -> str:
        if function.inlining == "template":
            return f"pub fn {function.name}<T: Copy + Into<u64>>(a0: T) -> u64"
        parameters = ", ".join(f"a{number}: {leaf_type(leaf)}" for number, leaf in enumerate(function.parameters))
        kept = "#[unsafe(no_mangle)] " if is_plain(function) else ""
        convention = 'extern "C-unwind" ' if function.entry else ""
        inlining = "#[inline] " if function.linkage == "inline" else INLINING[function.inlining]
        return (
            f"{inlining}{kept}{self._visibility(function.linkage)}{convention}fn {function.name}({parameters}) -> u64"
        )

    def _body(self, function: Function) -> str:
        self._function = function.name
        statics = [
            f"  {self._definition(variable)}" for variable in self.file.variables if variable.function == function.name
        ]
        generic = function.inlining == "template"
        self._arguments = "Into::<u64>::into(a{})" if generic else "(a{} as u64)"
        lines = [line for statement in function.body for line in self._statement(statement, "  ")]
        begin = [f"{self._head(function)} {{", *statics, "  let mut acc = 0u64;", "  unsafe {"]
        return "\n".join([*begin, *lines, "  }", "  acc", "}"])

    def _statement(self, statement: Statement, indent: str) -> Iterator[str]:
        match statement:
            case Set(value):
                yield f"{indent}acc = {self._value(value)};"
            case Store(place, value):
                yield f"{indent}{self._stored(place, value)};"
            case StoreThrough(place, value):
                yield f"{indent}let stored = {self._value(value)}; *{self._place(place)} = stored;"
            case Point(place, target):
                leaf = self._variable(place.variable)[1].fields[place.field][1]
                yield f"{indent}{self._place(place)} = {self._target(leaf, target)};"
            case If(value, bit, then, otherwise):
                yield f"{indent}if ({self._value(value)} >> {bit}) & 1 == 1 {{"
                yield from self._statements(then, indent)
                yield f"{indent}}}" + (" else {" if otherwise else "")
                if otherwise:
                    yield from self._statements(otherwise, indent)
                    yield f"{indent}}}"
            case Repeat(count, body):
                yield f"{indent}(0..{count}).for_each(|_| {{" if count & 1 else f"{indent}for _ in 0..{count} {{"
                yield from self._statements(body, indent)
                yield f"{indent}}});" if count & 1 else f"{indent}}}"
            case Switch(value, cases):
                yield f"{indent}match {self._value(value)} % {len(cases) + 1} {{"
                for number, more in enumerate(cases):
                    yield f"{indent}  {number} => acc = acc.wrapping_add({self._value(Constant(more))}),"
                yield f"{indent}  _ => {{}}"
                yield f"{indent}}}"
            case Throw(bit, value):
                thrown = f"std::panic::resume_unwind(Box::new({self._value(value)}))"
                yield f"{indent}if (acc >> {bit}) & 1 == 1 {{ {thrown} }}"

    def _statements(self, body: tuple[Statement, ...], indent: str) -> Iterator[str]:
        for inner in body:
            yield from self._statement(inner, f"{indent}  ")

    def _stored(self, place: Place, value: Expression) -> str:
        variable = self._variable(place.variable)[1]
        cut = self._cut(variable.fields[place.field][1], value)
        if form(variable) in ("atomic", "lazy"):
            return f"{self._place(place)}.store({cut}, Relaxed)"
        return f"let stored = {cut}; {self._place(place)} = stored"

    def _cut(self, leaf: Leaf, value: Expression) -> str:
        text = self._value(value)
        if leaf.kind == "double":
            return f"({text} & 0xffff) as f64"
        return f"({text} & 1) != 0" if leaf.kind == "bool" else f"{text} as {leaf_type(leaf)}"

    def _place(self, place: Place) -> str:
        file, variable = self._variable(place.variable)
        name = self._qualified(file, place.variable)
        match form(variable):
            case "thread":
                name = f"(*{name}.with(|cell| cell.get()))"
            case "cell":
                name = f"(*{name}.get())"
            case "fixed":
                name = f"{name}.0"
        index = ""
        if variable.count:
            number = f"({self._value(place.index)} % {variable.count}) as usize" if place.index is not None else "0"
            index = f"[{number}]"
        field = f".{variable.fields[place.field][0]}" if variable.fields[0][0] else ""
        return f"{name}{index}{field}"

    def _value(self, expression: Expression) -> str:
        match expression:
            case Constant(value):
                return f"{value & ((1 << 64) - 1)}u64"
            case Argument(number):
                return self._arguments.format(number)
            case Accumulator():
                return "acc"
            case Load(place):
                is_atomic = form(self._variable(place.variable)[1]) in ("atomic", "lazy")
                return f"({self._place(place)}{'.load(Relaxed)' if is_atomic else ''} as u64)"
            case Through(place):
                return f"(*{self._place(place)})"
            case Letter(place, index):
                return f"{{ let text = {self._place(place)}.as_bytes(); text[{index} % text.len()] as u64 }}"
            case Binary(operator, left, right):
                sides = self._value(left), self._value(right)
                if operator in METHODS:
                    return f"({sides[0]}).{METHODS[operator]}({sides[1]})"
                return f"({sides[0]} {operator} {sides[1]})"
            case Call(name, arguments, looked_up):
                return self._call(name, arguments, looked_up)
            case CallThrough(place, argument, looked_up):
                pointer = self._place(place)
                pointer = looked_up_as(POINTER, pointer) if looked_up else f"({pointer})"
                return f"{pointer}({self._value(argument)})"
            case LeadsTo(place, variable):
                return f"(({self._place(place)} == {self._address(variable)}) as u64)"
            case Catch(value, more):
                return CAUGHT.format(self._value(value), more)
        raise AssertionError(expression)

    def _call(self, name: str, arguments: tuple[Expression, ...], looked_up: bool) -> str:
        function = self._callee(name)[1]
        values = [
            f"{self._value(argument)} as {leaf_type(leaf)}"
            for leaf, argument in zip(function.parameters, arguments, strict=True)
        ]
        path = self._path(name)
        if function.inlining == "template":
            argument = arguments[0]
            if isinstance(argument, Constant) and argument.value < 1 << 16:
                return f"{path}::<u16>({argument.value})"  # an instance of its own
            return f"{path}::<u64>({values[0]})"
        if not looked_up and is_implementation(function):
            return f"(std::hint::black_box(&{path}_t) as &dyn crate::Called).called({values[0]})"
        if not looked_up:
            return f"{path}({', '.join(values)})"
        types = ", ".join(leaf_type(leaf) for leaf in function.parameters)
        return f"{looked_up_as(f'fn({types}) -> u64', path)}({', '.join(values)})"


def rust_text(program: Program, file: str) -> str:
    """A file as a module."""
    return RustSource(program, file).text()
