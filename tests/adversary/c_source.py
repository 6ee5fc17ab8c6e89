"""A file of a program as C, or as C++.

Everything that it uses of others is declared in it, so that its text alone tells whether an edit changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from adversary.class_source import HELPERS, class_text, made_and_deleted, virtual_call
from adversary.classes import HEADER, method_of, this, used_in
from adversary.model import (
    Accumulator,
    Argument,
    Binary,
    Call,
    CallThrough,
    CallVirtual,
    Catch,
    Constant,
    Expression,
    Fresh,
    Function,
    If,
    LeadsTo,
    Leaf,
    Letter,
    Load,
    Make,
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
    functions_in,
    parts,
    variables_in,
)
from adversary.rust_source import rust_text

U64 = "unsigned long"
NUMBERS = {
    (8, False): "unsigned char",
    (8, True): "signed char",
    (16, False): "unsigned short",
    (16, True): "short",
    (32, False): "unsigned",
    (32, True): "int",
    (64, False): U64,
    (64, True): "long",
}
INLINING = {
    "template": "template <class T> ",
    "never": "__attribute__((noinline)) ",
    "free": "",
    "always": "inline __attribute__((always_inline)) ",
}
LINKAGE = {
    "static": "static ",
    "global": "",
    "inline": "inline ",
    "hidden": '__attribute__((visibility("hidden"))) ',
    "weak": "__attribute__((weak)) ",
}
RUNTIME = "void *hot(void *); unsigned long length(const char *);"
CXX_RUNTIME = f'extern "C" {{ {RUNTIME} unsigned long computed(unsigned long); }}'
LOOKED_UP = "hot((void *){})"


class Source:
    """The text of one file.

    Args:
        program: what it is a file of.
        file: its name.
        cxx: as C++, whose names are mangled but for the runtime's.
    """

    def __init__(self, program: Program, file: str, *, cxx: bool = False) -> None:
        self.program = program
        self.file = program.file(file)
        self.cxx = cxx
        self._function = ""

    def text(self) -> str:
        """All of it."""
        used = self._used_classes()
        header = [*self._used_header(), *self._inline_methods(used)]
        code = [*header, *self.file.functions]
        begin = [CXX_RUNTIME if self.cxx else RUNTIME]
        begin += [
            self._structure(variable)
            for variable in self._visible_variables(code)
            if variable.fields[0][0] and not variable.of
        ]
        begin += [HELPERS, *(class_text(self.program, name, self._leaf) for name in used)] if used else []
        own_names = {variable.name for variable in self.file.variables if not variable.function}
        prototypes = [f"{self._head(f)};" for f in self._visible_functions(code) if "::" not in f.name]
        others = [
            f"extern {LINKAGE['hidden'] if variable.linkage == 'hidden' else ''}{self._declared(variable)};"
            for variable in self._visible_variables(code)
            if variable.name not in own_names and not variable.function and variable.linkage != "inline"
        ]
        others += [
            self._definition(variable) for variable in self._visible_variables(code) if variable.linkage == "inline"
        ]
        own = [self._definition(variable) for variable in self.file.variables if not variable.function]
        bodies = [self._body(function) for function in code]
        return "\n".join([*begin, *prototypes, *others, *own, *bodies, ""])

    def _used_header(self) -> list[Function]:
        """The header's functions that the file needs, those that are called first."""
        known = {
            function.name: function for file in self.program.files if file.name == HEADER for function in file.functions
        }
        wanted, found = [*self.file.functions], []
        while wanted:
            for name in sorted(functions_in(wanted.pop())):
                if name in known and known[name] not in found:
                    found.append(known[name])
                    wanted.append(known[name])
        return sorted(found, key=lambda function: list(known).index(function.name))

    def _used_classes(self) -> list[str]:
        """The classes that the file's text names, bases first."""
        if not self.program.classes:
            return []
        seen = self._visible_variables([*self._used_header(), *self.file.functions])
        used = used_in(self.program, (self.file, tuple(seen)))
        return [each.name for each in self.program.classes if each.name in used]

    def _inline_methods(self, used: list[str]) -> list[Function]:
        """The header's functions of classes."""
        header = (file for file in self.program.files if file.name == HEADER)
        return [f for file in header for f in file.functions if method_of(f.name)[0] in used]

    def _visible_variables(self, code: list[Function]) -> list[Variable]:
        """What the code uses, its own file's first."""
        names = set[str]().union(*map(variables_in, code)) | {
            target for variable in self.file.variables for target in variable.initial if isinstance(target, str)
        }
        own = list(self.file.variables)
        known = {variable.name for variable in own if not variable.function}
        for file in self.program.files:
            for variable in file.variables:
                if variable.name in names and variable.name not in known and variable.linkage != "static":
                    own.append(variable)
                    known.add(variable.name)
        return own

    def _visible_functions(self, code: list[Function]) -> Iterator[Function]:
        """What is declared: the file's own, and what it uses of others."""
        yield from code
        known = {function.name for function in code}
        names = set[str]().union(*map(functions_in, code)) | {
            target for variable in self.file.variables for target in variable.initial if isinstance(target, str)
        }
        for file in self.program.files:
            for function in file.functions:
                if (
                    function.name in names
                    and function.name not in known
                    and function.linkage not in ("static", "inline")
                ):
                    known.add(function.name)
                    linkage = "hidden" if function.linkage == "hidden" else "global"
                    yield function._replace(linkage=linkage, inlining="free")

    def _type(self, leaf: Leaf) -> str:
        if leaf.kind == "number":
            return NUMBERS[leaf.bits, leaf.signed]
        return {"bool": "bool" if self.cxx else "_Bool", "double": "double"}[leaf.kind]

    def _leaf(self, leaf: Leaf, name: str, constant: str = "") -> str:
        """The declaration of *name*; *constant* stands where the place itself is."""
        match leaf.kind:
            case "pointer":
                return f"{U64} *{constant}{name}"
            case "function":
                return f"{U64} (*{constant}{name})({U64})"
            case "string":
                return f"const char *{constant}{name}"
            case "object":
                return f"{leaf.of} *{constant}{name}"
        return f"{constant}{self._type(leaf)} {name}"

    def _structure(self, variable: Variable) -> str:
        fields = " ".join(f"{self._leaf(leaf, name)};" for name, leaf in variable.fields)
        return f"{self._tag(variable)} {{ {fields} }};"

    @staticmethod
    def _tag(variable: Variable) -> str:
        return f"struct {variable.function.replace('::', '_')}{variable.name}_t"

    def _declared(self, variable: Variable) -> str:
        """A variable's type and name."""
        array = f"[{variable.count}]" if variable.count else ""
        constant = "const " if variable.constant else ""
        thread = ("__thread " if variable.thread_local else "") + ("volatile " if variable.volatile else "")
        if variable.of:
            return f"{variable.of} {variable.name}"
        if variable.fields[0][0]:
            return f"{thread}{constant}{self._tag(variable)} {variable.name}{array}"
        return thread + self._leaf(variable.fields[0][1], variable.name + array, constant)

    def _definition(self, variable: Variable) -> str:
        linkage = "static " if variable.function else LINKAGE[variable.linkage]
        if self.cxx and variable.constant and linkage != "static ":
            linkage = f"extern {linkage}"  # else C++ makes it static
        if variable.of:
            return f"{linkage}{self._declared(variable)};"
        if not variable.initial:
            zero = " = {}" if self.cxx and variable.constant else ""
            return f"{linkage}{self._declared(variable)}{zero};"
        values = [self._initial(variable.leaf(number), value) for number, value in enumerate(variable.initial)]
        width = len(variable.fields)
        if variable.fields[0][0]:
            values = [f"{{{', '.join(values[at : at + width])}}}" for at in range(0, len(values), width)]
        text = f"{{{', '.join(values)}}}" if variable.count else values[0]
        if variable.dynamic:
            text = f"({self._type(variable.fields[0][1])})computed({text})"
        return f"{linkage}{self._declared(variable)} = {text};"

    def _initial(self, leaf: Leaf, value: int | str) -> str:
        if isinstance(value, str):
            return self._target(leaf, value)
        number = leaf.stored(value)
        if leaf.kind == "number" and leaf.signed:
            number = number - (1 << 64) if number >> 63 else number
            return f"({number + 1}L - 1)" if number < 0 else f"{number}"
        return f"{number}" if leaf.kind != "number" or leaf.bits < 64 else f"{number}UL"

    def _target(self, leaf: Leaf, name: str) -> str:
        """What is stored in a place so that it leads to *name*."""
        if leaf.kind == "string":
            return f'"{name}"'
        return name if leaf.kind == "function" else self._address(name)

    def _address(self, name: str) -> str:
        variable = self._variable(name)
        if variable.of:
            return f"&{name}"
        field = f".{variable.fields[0][0]}" if variable.fields[0][0] else ""
        return f"&{name}{'[0]' if variable.count else ''}{field}"

    def _variable(self, name: str) -> Variable:
        """What *name* means in the function that is being written."""
        own = self.file.variables
        it = this(self.program, self._function) if name == "this" else None
        if it is not None:
            return it
        found = [v for v in own if v.name == name and v.function == self._function and v.function]
        found += [v for v in own if v.name == name and not v.function]
        found += [v for file in self.program.files for v in file.variables if v.name == name and v.linkage != "static"]
        return found[0]

    def _head(self, function: Function) -> str:
        if function.inlining == "template":
            return f"template <class T> {U64} {function.name}(T a0)"
        parameters = ", ".join(self._leaf(leaf, f"a{number}") for number, leaf in enumerate(function.parameters))
        if "::" in function.name:
            return f"{U64} {function.name}({parameters})"
        linkage = self._inline if function.linkage == "inline" else LINKAGE[function.linkage]
        inlining = INLINING[function.inlining]
        return f"{inlining}{linkage}{U64} {function.name}({parameters or 'void'})"

    @property
    def _inline(self) -> str:
        return "inline " if self.cxx else "static inline "

    def _body(self, function: Function) -> str:
        self._function = function.name
        statics = [
            f"  {self._definition(variable)}" for variable in self.file.variables if variable.function == function.name
        ]
        lines = [line for statement in function.body for line in self._statement(statement, "  ")]
        loops = any(isinstance(part, Repeat) for part in parts(function.body))
        counters = ["  unsigned outer = 0, inner = 0;"] if loops else []
        begin = [f"{self._head(function)} {{", f"  {U64} acc = 0;", *counters, *statics]
        self._function = function.name
        return "\n".join([*begin, *lines, "  return acc;", "}"])

    def _statement(self, statement: Statement, indent: str) -> Iterator[str]:
        match statement:
            case Set(value):
                yield f"{indent}acc = {self._value(value)};"
            case Store(place, value):
                leaf = self._variable(place.variable).fields[place.field][1]
                yield f"{indent}{self._place(place)} = {self._cut(leaf, value)};"
            case StoreThrough(place, value):
                yield f"{indent}*{self._place(place)} = {self._value(value)};"
            case Point(place, target):
                leaf = self._variable(place.variable).fields[place.field][1]
                yield f"{indent}{self._place(place)} = {self._target(leaf, target)};"
            case If(value, bit, then, otherwise):
                yield f"{indent}if ({self._value(value)} >> {bit} & 1) {{"
                for inner in then:
                    yield from self._statement(inner, indent + "  ")
                yield f"{indent}}}" + (" else {" if otherwise else "")
                for inner in otherwise:
                    yield from self._statement(inner, indent + "  ")
                if otherwise:
                    yield f"{indent}}}"
            case Repeat(count, body):
                counter = "inner" if len(indent) > 2 else "outer"
                yield f"{indent}for ({counter} = 0; {counter} < {count}; {counter}++) {{"
                for inner in body:
                    yield from self._statement(inner, indent + "  ")
                yield f"{indent}}}"
            case Switch(value, cases):
                yield f"{indent}switch ({self._value(value)} % {len(cases) + 1}) {{"
                for number, more in enumerate(cases):
                    yield f"{indent}  case {number}: acc += {more & ((1 << 64) - 1)}UL; break;"
                yield f"{indent}}}"
            case Make(place, of):
                yield f"{indent}{self._place(place)} = new {of};"
            case Throw(bit, value):
                yield f"{indent}if (acc >> {bit} & 1) throw ({U64}){self._value(value)};"

    def _cut(self, leaf: Leaf, value: Expression) -> str:
        text = self._value(value)
        if leaf.kind == "double":
            return f"(double)({text} & 0xffff)"
        return f"({text} & 1) != 0" if leaf.kind == "bool" else f"({self._type(leaf)}){text}"

    def _place(self, place: Place) -> str:
        variable = self._variable(place.variable)
        index = ""
        if variable.count:
            index = f"[{self._value(place.index)} % {variable.count}]" if place.index is not None else "[0]"
        if place.variable == "this":
            return f"this->{variable.fields[place.field][0]}"
        field = f".{variable.fields[place.field][0]}" if variable.fields[0][0] else ""
        return f"{place.variable}{index}{field}"

    def _value(self, expression: Expression) -> str:
        match expression:
            case Constant(value):
                return f"{value & ((1 << 64) - 1)}UL"
            case Argument(number):
                return f"({U64})a{number}"
            case Accumulator():
                return "acc"
            case Load(place):
                return f"({U64}){self._place(place)}"
            case Through(place):
                return f"*{self._place(place)}"
            case Letter(place, index):
                return self._letter(self._place(place), index)
            case Binary(operator, left, right):
                return f"({self._value(left)} {operator} {self._value(right)})"
            case Call(name, arguments, looked_up):
                return self._call(name, arguments, looked_up)
            case CallThrough(place, argument, looked_up):
                pointer = LOOKED_UP.format(self._place(place)) if looked_up else self._place(place)
                return f"(({U64} (*)({U64})){pointer})({self._value(argument)})"
            case CallVirtual(place, via, method, argument, looked_up, direct):
                how = "direct" if direct else "led" if looked_up else ""
                pointer = f"&{place.variable}" if self._variable(place.variable).of else self._place(place)
                return virtual_call(pointer, via, method, self._value(argument), how)
            case Fresh(of, via, method, argument):
                return made_and_deleted(of, via, method, self._value(argument))
            case LeadsTo(place, variable):
                return f"({U64})({self._place(place)} == {self._address(variable)})"
            case Catch(value, more):
                return self._caught(self._value(value), more)
        raise AssertionError(expression)

    @staticmethod
    def _letter(pointer: str, index: int) -> str:
        return f"({U64})(unsigned char){pointer}[{index} % length({pointer})]"

    @staticmethod
    def _caught(value: str, more: int) -> str:
        inner = f"try {{ return {value}; }} catch ({U64} thrown) {{ return thrown + {more}UL; }}"
        return f"[&]() -> {U64} {{ {inner} }}()"

    def _call(self, name: str, arguments: tuple[Expression, ...], looked_up: bool) -> str:
        function = self._callee(name)
        values = [
            f"({self._type(leaf)}){self._value(argument)}"
            for leaf, argument in zip(function.parameters, arguments, strict=True)
        ]
        if function.inlining == "template":
            return f"{name}<{U64}>({values[0]})"
        if not looked_up:
            return f"{name}({', '.join(values)})"
        types = ", ".join(self._type(leaf) for leaf in function.parameters) or "void"
        return f"(({U64} (*)({types})){LOOKED_UP.format(name)})({', '.join(values)})"

    def _callee(self, name: str) -> Function:
        own = [function for function in self.file.functions if function.name == name]
        every = (f for file in self.program.files for f in file.functions if f.name == name and f.linkage != "static")
        return next(iter([*own, *every]))


def c_text(program: Program, file: str) -> str:
    """A file as C."""
    return Source(program, file).text()


def cxx_text(program: Program, file: str) -> str:
    """A file as C++."""
    return Source(program, file, cxx=True).text()


PRINTERS: dict[str, tuple[str, Callable[[Program, str], str]]] = {
    "c": (".c", c_text),
    "c++": (".cc", cxx_text),
    "rust": (".rs", rust_text),
}
"""Language -> what its files are called, and their text."""
