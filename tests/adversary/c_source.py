"""A file of a program as C, or as C++.

Everything that it uses of others is declared in it, so that its text alone tells whether an edit changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from adversary.c_declarations import CXX_RUNTIME, LINKAGE, RUNTIME, U64, WIDE
from adversary.c_statements import Statements
from adversary.class_source import HELPERS, class_text
from adversary.classes import HEADER, method_of, used_in
from adversary.inline import statics_of, used_inline
from adversary.model import (
    Function,
    Program,
    Repeat,
    Variable,
    functions_in,
    parts,
    variables_in,
)
from adversary.names import mangled
from adversary.rust_source import rust_text


class Source(Statements):
    """The text of one file."""

    def text(self) -> str:
        """All of it."""
        used = self._used_classes()
        header = [*used_inline(self.program, self.file.name), *self._inline_methods(used)]
        code = [*header, *self.file.functions]
        begin = [CXX_RUNTIME if self.cxx else RUNTIME]
        begin += [
            self._structure(variable)
            for variable in self._visible_variables(code)
            if (variable.fields[0][0] and not variable.of) or variable.form in ("flexible", "union")
        ]
        begin += [WIDE] if any(f.form == "wide" for f in self._visible_functions(code)) else []
        begin += [HELPERS, *(class_text(self.program, name, self._leaf) for name in used)] if used else []
        own_names = {variable.name for variable in self.file.variables if not variable.function}
        declared = [each for each in self._visible_functions(code) if "::" not in each.name]
        prototypes = [self._in_namespace(each, f"{self._head(each)};") for each in declared]
        others = [
            f"extern {LINKAGE['hidden'] if variable.linkage == 'hidden' else ''}{self._declared(variable)};"
            for variable in self._visible_variables(code)
            if variable.name not in own_names and not variable.function and variable.linkage != "inline"
        ]
        others += [
            self._definition(variable)
            for variable in self._visible_variables(code)
            if variable.linkage == "inline" and not variable.function
        ]
        own = [self._definition(variable) for variable in self.file.variables if not variable.function]
        bodies = [self._in_namespace(function, self._body(function)) for function in code if not function.alias]
        named_again = [function for function in code if function.alias and function.by != "defsym"]
        aliases = [self._in_namespace(function, self._alias(function)) for function in named_again]
        return "\n".join([*begin, *prototypes, *others, *own, *bodies, *aliases, ""])

    def _used_classes(self) -> list[str]:
        """The classes that the file's text names, bases first."""
        if not self.program.classes:
            return []
        seen = self._visible_variables([*used_inline(self.program, self.file.name), *self.file.functions])
        used = used_in(self.program, (self.file, tuple(seen)))
        return [each.name for each in self.program.classes if each.name in used]

    def _inline_methods(self, used: list[str]) -> list[Function]:
        """The header's functions of classes."""
        header = (file for file in self.program.files if file.name == HEADER)
        return [f for file in header for f in file.functions if method_of(f.name)[0] in used]

    def _statics_and_own(self, code: list[Function]) -> list[Variable]:
        """The file's variables, and the statics of the header's functions among *code*."""
        return [*self.file.variables, *(v for f in code for v in statics_of(self.program, f.name))]

    def _visible_variables(self, code: list[Function]) -> list[Variable]:
        """What the code uses, its own file's first."""
        names = set[str]().union(*map(variables_in, code)) | {
            target for variable in self._statics_and_own(code) for target in variable.initial if isinstance(target, str)
        }
        own = self._statics_and_own(code)
        known = {variable.name for variable in own if not variable.function}
        for file in self.program.files:
            for variable in file.variables:
                is_static = variable.linkage == "static" or variable.function
                if variable.name in names and variable.name not in known and not is_static:
                    own.append(variable)
                    known.add(variable.name)
        return own

    def _visible_functions(self, code: list[Function]) -> Iterator[Function]:
        """What is declared: the file's own, and what it uses of others."""
        yield from code
        known = {function.name for function in code}
        names = set[str]().union(*map(functions_in, code)) | {
            target for variable in self._statics_and_own(code) for target in variable.initial if isinstance(target, str)
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

    @staticmethod
    def _in_namespace(function: Function, text: str) -> str:
        return f"namespace {{\n{text}\n}}" if function.identity[1] else text

    def _alias(self, function: Function) -> str:
        """The declaration of a function that is another name for one of the file."""
        target = next(each for each in self.file.functions if each.name == function.alias)
        symbol = mangled(target, "c++" if self.cxx else "c")
        head = self._head(function, defined=True)
        if not function.by:
            return f'{head} __attribute__((alias("{symbol}")));'
        types = ", ".join(self._type(leaf) for leaf in function.parameters) or "void"
        resolver = f"resolve_{function.name}"
        external = 'extern "C" ' if self.cxx else ""  # a name that the attribute can say
        text = f"{external}{U64} (*{resolver}(void))({types}) {{ return {target.name}; }}"
        return f'{text}\n{head} __attribute__((ifunc("{resolver}")));'

    def _body(self, function: Function) -> str:
        self._function, self._tables = function.name, 0
        statics = [
            f"  {self._definition(variable)}"
            for variable in (*self.file.variables, *statics_of(self.program, function.name))
            if variable.function == function.name
        ]
        lines = [line for statement in function.body for line in self._statement(statement, "  ")]
        loops = any(isinstance(part, Repeat) for part in parts(function.body))
        counters = ["  unsigned outer = 0, inner = 0;"] if loops else []
        begin = [f"{self._head(function, defined=True)} {{", f"  {U64} acc = 0;", *counters, *statics]
        end = "  return (struct wide){{1, 2, acc, 3, 4}};" if function.form == "wide" else "  return acc;"
        begin += self._more_arguments(function)
        begin += ['  __asm__ volatile("" ::: "memory");'] if function.starts else []  # LLVM would run it and drop it
        return "\n".join([*begin, *lines, end, "}"])

    def _more_arguments(self, function: Function) -> list[str]:
        """How a function gets the arguments that its type does not say."""
        if function.form != "variadic":
            return []
        more = [
            f"  {self._type(leaf)} a{number} = __builtin_va_arg(more, {self._type(leaf)});"
            for number, leaf in enumerate(function.parameters)
            if number
        ]
        return ["  __builtin_va_list more;", "  __builtin_va_start(more, a0);", *more, "  __builtin_va_end(more);"]


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
