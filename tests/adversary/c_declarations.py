"""How C and C++ declare what a file of a program names: types, variables, functions."""

from __future__ import annotations

from adversary.classes import this
from adversary.inline import statics_of
from adversary.model import (
    Function,
    Leaf,
    Program,
    Variable,
)
from adversary.names import ANONYMOUS

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
    "common": "",
    "hidden": '__attribute__((visibility("hidden"))) ',
    "weak": "__attribute__((weak)) ",
}
RUNTIME = "void *hot(void *); unsigned long length(const char *);"
CXX_RUNTIME = f'extern "C" {{ {RUNTIME} unsigned long computed(unsigned long); }}'
LOOKED_UP = "hot((void *){})"
WIDE = f"struct wide {{ {U64} m[5]; }};"


class Declarations:
    """The declarations of one file.

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
        """The function that is being written."""
        self._tables = 0
        """How many tables of labels it has so far."""

    def _type(self, leaf: Leaf) -> str:
        if leaf.kind == "number":
            return NUMBERS.get((leaf.bits, leaf.signed)) or NUMBERS[64, leaf.signed]
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
        bits = f" : {leaf.bits}" if leaf.kind == "number" and (leaf.bits, leaf.signed) not in NUMBERS else ""
        return f"{constant}{self._type(leaf)} {name}{bits}"

    def _structure(self, variable: Variable) -> str:
        fields = " ".join(f"{self._leaf(leaf, name)};" for name, leaf in variable.fields)
        if variable.form == "flexible":
            fields = f"unsigned char count; {self._leaf(variable.fields[0][1], 'm[]')};"
        if variable.form == "union":
            fields = f"{self._leaf(variable.fields[0][1], 'm')}; unsigned char raw[12];"
        return f"{self._tag(variable)} {{ {fields} }};"

    @staticmethod
    def _tag(variable: Variable) -> str:
        kind = "union" if variable.form == "union" else "struct"
        return f"{kind} {variable.function.replace('::', '_')}{variable.name}_t"

    def _declared(self, variable: Variable) -> str:
        """A variable's type and name."""
        array = f"[{variable.count}]" if variable.count else ""
        array += f' __asm__("{variable.label}")' if variable.label else ""
        constant = "const " if variable.constant else ""
        thread = ("__thread " if variable.thread_local else "") + ("volatile " if variable.volatile else "")
        if variable.of:
            return f"{variable.of} {variable.name}"
        if variable.form in ("flexible", "union"):
            return f"{self._tag(variable)} {variable.name}"
        thread += "_Atomic " if variable.form == "atomic" else ""
        if variable.fields[0][0]:
            return f"{thread}{constant}{self._tag(variable)} {variable.name}{array}"
        return thread + self._leaf(variable.fields[0][1], variable.name + array, constant)

    def _definition(self, variable: Variable) -> str:
        if variable.identity[1]:
            return f"namespace {{ {self._definition(variable._replace(linkage='global', anonymous=False))} }}"
        linkage = "static " if variable.function else LINKAGE[variable.linkage]
        if self.cxx and variable.constant and linkage != "static ":
            linkage = f"extern {linkage}"  # else C++ makes it static
        if variable.of:
            return f"{linkage}{self._declared(variable)};"
        if variable.alias:
            return (
                f'extern {linkage}{self._declared(variable)} __attribute__((alias("{self._symbol(variable.alias)}")));'
            )
        if not variable.initial:
            zero = " = {}" if self.cxx and variable.constant else ""
            return f"{linkage}{self._declared(variable)}{zero};"
        values = [self._initial(variable.leaf(number), value) for number, value in enumerate(variable.initial)]
        width = len(variable.fields)
        if variable.fields[0][0]:
            values = [f"{{{', '.join(values[at : at + width])}}}" for at in range(0, len(values), width)]
        text = f"{{{', '.join(values)}}}" if variable.count or variable.form == "union" else values[0]
        text = f"{{{variable.count}, {text}}}" if variable.form == "flexible" else text
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

    def _symbol(self, name: str) -> str:
        """The symbol of a variable of the file."""
        variable = next(each for each in self.file.variables if each.name == name and not each.function)
        if variable.identity[1] and not variable.label:
            return f"_ZN{ANONYMOUS}{len(name)}{name}E"
        mangles = self.cxx and variable.linkage == "static" and not variable.label
        return f"_ZL{len(name)}{name}" if mangles else variable.symbol

    def _variable(self, name: str) -> Variable:
        """What *name* means in the function that is being written."""
        own = (*self.file.variables, *statics_of(self.program, self._function))
        it = this(self.program, self._function) if name == "this" else None
        if it is not None:
            return it
        found = [v for v in own if v.name == name and v.function == self._function and v.function]
        found += [v for v in own if v.name == name and not v.function]
        found += [v for file in self.program.files for v in file.variables if v.name == name and v.linkage != "static"]
        return found[0]

    def _head(self, function: Function, *, defined: bool = False) -> str:
        """A function's type and name, with its assembler's name unless it is *defined* here."""
        label = f' __asm__("{function.label}")' if function.label and not defined else ""
        if function.inlining == "template":
            return f"template <class T> {U64} {function.name}(T a0)"
        known = function.parameters[:1] if function.form == "variadic" else function.parameters
        parameters = ", ".join(self._leaf(leaf, f"a{number}") for number, leaf in enumerate(known))
        parameters += ", ..." if function.form == "variadic" else ""
        if "::" in function.name:
            return f"{U64} {function.name}({parameters})"
        if function.identity[1]:
            return self._head(function._replace(linkage="global", anonymous=False), defined=defined)
        linkage = self._inline if function.linkage == "inline" else LINKAGE[function.linkage]
        inlining = ("__attribute__((constructor)) " if function.starts else "") + INLINING[function.inlining]
        result = "struct wide" if function.form == "wide" else U64
        return f"{inlining}{linkage}{result} {function.name}({parameters or 'void'}){label}"

    @property
    def _inline(self) -> str:
        return "inline " if self.cxx else "static inline "

    def _callee(self, name: str) -> Function:
        own = [function for function in self.file.functions if function.name == name]
        every = (f for file in self.program.files for f in file.functions if f.name == name and f.linkage != "static")
        return next(iter([*own, *every]))
