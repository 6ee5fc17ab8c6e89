"""What stubgen says of a patch, as the oracle takes it: whose each variable is, and which functions callers miss."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from adversary.inline import own_variables
from adversary.interpret import HEADER, chosen
from adversary.model import Program, Variable, is_plain
from adversary.names import ANONYMOUS, mangled
from adversary.plans import Plan
from adversary.scope import definers, largest
from adversary.ways import Said
from tools import need, run

from stubgen.resolve.verdicts import SharedVariable

Key = tuple[str, str, str]
"""File, function and name of a variable; the function is "" unless it is one of its own."""
Kept = Mapping[Key, int]
"""A variable -> the generation whose variable a patch uses."""


class Untold(Exception):
    """Stubgen said something wrong of a patch, or nothing where it has to."""


class Split(Exception):
    """clang made several variables of one, and constants of what nobody writes: whose each is cannot be told here."""


class Claims:
    """What stubgen said of one patch.

    Args:
        plan: what is tried.
        folder: where its files are.
        said: what stubgen says of it.
        number: its generation.

    Raises:
        Split: nobody can say what the patch has to do.
        Untold: a note is wrong, or is missing.
    """

    def __init__(self, plan: Plan, folder: Path, said: Said, number: int) -> None:
        self.plan = plan
        self.said = said
        self.folder = folder
        self.number = number
        self.program = plan.versions[number]
        self.excuses: list[str] = []
        self.left_out = self._left_out()
        self.files = self._files()
        self.variables = [
            (file.name, variable)
            for file in self.program.files
            for variable in own_variables(self.program, file.name)
            if file.name in (*self.files, HEADER) and not variable.constant
            if file.name != HEADER or variable.linkage != "static"
            if variable.linkage != "common"
        ]
        self.variables += self._commons()
        self._labels = {v.label: v.name for f in self.program.files for v in f.variables if v.label}
        self._constants = {self._source_name(row.name)[1] for row in said.shared if not row.writable}
        self.inline = self._inline()
        self.kept = self._kept([row for row in said.shared if row.writable])

    def _files(self) -> frozenset[str]:
        """Those whose objects are in the patch."""
        return frozenset(self.said.objects)

    def _inline(self) -> frozenset[str]:
        """The header's functions of classes of which the patch's objects have code."""
        language = self.plan.build.language
        header = [f for file in self.program.files if file.name == HEADER for f in file.functions if "::" in f.name]
        present = {name.removeprefix(self._prefix) for file in self.said.objects for name in self._symbols[file]}
        return frozenset(f.name for f in header if mangled(f, language) in present)

    @property
    def _prefix(self) -> str:
        return "_" if self.plan.build.is_macho else ""

    def _left_out(self) -> frozenset[tuple[str, str]]:
        """File and name of each function to which the host's callers are not led."""
        language = self.plan.build.language
        names = {mangled(f, language): f.name for file in self.program.files for f in file.functions}
        told = self.said.undecided
        left_out = [(path, names.get(symbol.removeprefix(self._prefix)), reason) for path, symbol, reason in told]
        self.excuses += [f"left out: {reason}" for _, name, reason in left_out if name]
        methods = {name for _, name, _ in left_out if name and "::" in name}  # an inline one is of any file
        everywhere = {(file, name) for file in self.said.objects for name in methods}
        files = {str(path): file for file, path in self.said.objects.items()}
        return frozenset((files.get(path, Path(path).stem), name) for path, name, _ in left_out if name) | everywhere

    def _kept(self, rows: list[SharedVariable]) -> list[Kept]:
        """Whose variables the patch uses, in each way that the rows can be meant: they have names alone."""
        patches = {str(self.folder / f"patch{n}.so"): n for n in range(1, self.number)}
        meant: dict[tuple[str, str], list[SharedVariable]] = {}
        for row in rows:
            meant.setdefault(self._source_name(row.name), []).append(row)
        choices: list[dict[Key, int]] = [{}]
        of_files = {variable.name for _, variable in self.variables if not variable.function}
        for (function, name), alike in meant.items():
            if name in of_files and any(_is_part(row.name, name) for row in alike):
                raise Split(name)
            keys = [
                (file, variable.function, name)
                for file, variable in self.variables
                if variable.name == name and function in ("", variable.function)
            ]
            kept = [patches.get(row.patch, 0) for row in alike if row.forwarded]
            choices = [
                {**choice, **dict(zip(some, kept, strict=False))}
                for choice in choices
                for some in itertools.combinations(keys, min(len(kept), len(keys)))
            ][:64]
            self.excuses += [f"not kept: {row.reason_not_kept}" for row in alike if not row.forwarded]
            if len(keys) == len(alike) == 1 and kept:
                self._check_value(alike[0], keys[0], kept[0])
        self.excuses += self._absent({name for _, name in meant} | self._constants)
        return list(choices)

    def _source_name(self, symbol: str) -> tuple[str, str]:
        """Function (or "") and name of a variable, by its symbol."""
        return ("", self._labels[symbol]) if symbol in self._labels else source_name(symbol)

    def _check_value(self, row: SharedVariable, key: Key, kept: int) -> None:
        """See that a kept variable is told to begin with another value exactly where the source says so."""
        language = self.plan.build.language
        new, old = (_beginning(self.plan.versions[version], key, language) for version in (self.number, kept))
        if new is None or old is None or new[0] != old[0] or self._is_object(key):
            return
        if kept and not all(isinstance(value, int) for value in new[1]):
            return  # what an earlier patch's pointers lead to is not compared
        if self.plan.build.is_macho and len(new[1]) != len(old[1]):
            return  # its symbols have no sizes: a part of the old value is not another one
        if (new[1] != old[1]) != row.initial_value_changed:
            said = f"initial_value_changed is {row.initial_value_changed}"
            raise Untold(f"{row.name}: {said}, and it begins with {new[1]}, after {old[1]}")

    def _is_object(self, key: Key) -> bool:
        """Whether it begins with addresses that its class decides: of a virtual table, or of a base in an object."""
        found = [variable for file, variable in self.variables if (file, variable.function, variable.name) == key]
        return any(variable.of or variable.fields[0][1].kind == "object" for variable in found)

    def _absent(self, told: set[str]) -> Iterator[str]:
        """A variable that stubgen says nothing of must be new, or a compiler took it away."""
        known = (
            0 if self.plan.build.session == "none" else self.number - 1
        )  # the version that the patch is held against
        old = self.plan.versions[known]
        before = {self._name(old, v) for file in old.files for v in file.variables}
        for file, variable in self.variables:
            if (
                (file == HEADER and not variable.function)
                or self._name(self.program, variable) not in before
                or variable.name in told
            ):
                continue
            if self._steps_back(file, variable) or variable.alias:
                continue
            host, patch = self._symbols["host"], self._of_objects(HEADER if variable.linkage == "common" else file)
            own = (
                rf"(?:_{{0,2}}ZZ\w+E\d+|{variable.function}\.)"
                if variable.function
                else rf"_{{0,2}}(?:ZL\d+|ZN{ANONYMOUS}L?\d+)?"
            )
            part = re.compile(rf"{own}{variable.symbol}E?\.\d")
            split_by_llvm = not variable.function or self.plan.build.compiler != "gcc"
            if split_by_llvm and any(part.match(symbol) for symbol in (*host, *patch)):
                raise Split(variable.name)
            if variable.function and self.plan.build.compiler == "gcc" and not self._mangles:
                yield "numbered: GCC gave a static of a function another number, and nothing tells which it is"
                continue
            if all(_has_variable(symbols, variable) for symbols in (host, patch)):
                raise Untold(f"host and patch have {variable.name}, and no word is said of it")
            yield "absent: the compiler left none of it in host or patch"

    def _commons(self) -> Iterator[tuple[str, Variable]]:
        """The variables that the patch's files define tentatively, each as the first file's of all."""
        names = {v.name for file in self.files for v in self.program.file(file).variables if v.linkage == "common"}
        for name in sorted(names):
            found = definers(self.program, name)
            yield found[0][0].name, largest(found)

    def _of_objects(self, file: str) -> Mapping[str, str]:
        """The symbols of a file's object; the header's are all objects'."""
        if file != HEADER:
            return self._symbols[file]
        return {name: letter for each in self.said.objects for name, letter in self._symbols[each].items()}

    def _steps_back(self, file: str, variable: Variable) -> bool:
        """Whether it is weak, and what it means is another file's."""
        rivals = [(f, v) for f in self.program.files for v in f.variables if v.name == variable.name]
        return variable.linkage == "weak" and chosen(self.program, rivals)[0].name != file

    @property
    def _mangles(self) -> bool:
        return self.plan.build.language == "c++"

    def _name(self, program: Program, variable: Variable) -> tuple[str, tuple[str, bool], bool]:
        """What tells a variable from others, its file aside: in C++ its function's parameters as well."""
        language = self.plan.build.language
        functions = (
            mangled(f, language) for each in program.files for f in each.functions if f.name == variable.function
        )
        return next(functions, ""), variable.identity, self._mangles and variable.linkage == "static"

    @cached_property
    def _symbols(self) -> dict[str, dict[str, str]]:
        """File -> symbol that it defines -> the letter of ``nm`` for it: of the host and of the patch's objects."""
        paths = {"host": str(self.folder / "host"), **{file: str(path) for file, path in self.said.objects.items()}}
        files: dict[str, dict[str, str]] = {path: {} for path in paths.values()}
        for line in run([str(need("llvm-nm-19")), "--defined-only", "-A", *files]).splitlines():
            path, _, rest = line.partition(": ")
            *_, letter, name = rest.split()
            files[path][name] = letter
        return {file: files[path] for file, path in paths.items()}


def _beginning(program: Program, key: Key, language: str) -> tuple[Any, tuple[Any, ...]] | None:
    """The type and the first value of a variable in a version; None where that has none that is surely the same.

    What leads somewhere has the symbol that it leads to, which in C++ an edit of its linkage or parameters changes.
    """
    file, function, name = key
    found = [
        variable
        for each in program.files
        for variable in each.variables
        if (variable.name, variable.function) == (name, function)
        if each.name == HEADER or _may_be_same(each.name, file, variable, language)
    ]
    named = [function for each in program.files for function in each.functions if function.alias]
    aliases = {name for function in named for name in (function.name, function.alias)}
    if len(found) != 1 or found[0].label or not aliases.isdisjoint(found[0].initial):
        return None  # a pointer to one of two names of a function may be told by either
    values = enumerate(found[0].initial or (0,) * found[0].cells)
    return found[0].fields, tuple(_symbol(program, file, found[0].leaf(n).kind, value, language) for n, value in values)


def _symbol(program: Program, file: str, kind: str, value: Any, language: str) -> Any:
    """*value*, or the symbol of the variable or function that it names."""
    files = sorted(program.files, key=lambda each: each.name != file)  # a file's own static first
    if kind == "function":
        f, function = next((f, each) for f in files for each in f.functions if each.name == value)
        if language == "rust":  # the older mangling has the parameters in its hash
            return (value, None if is_plain(function) else f.name), function.parameters
        return mangled(function, language)
    if kind == "pointer":
        home, found = next((f, v) for f in files for v in f.variables if v.name == value and not v.function)
        if language == "rust":
            return value, None if is_plain(found) else home.name
        return found.identity, language == "c++" and found.linkage == "static"
    return value


def _has_variable(symbols: Mapping[str, str], variable: Variable) -> bool:
    """Whether one of the symbols can be the variable's; GCC leaves a static's function out of its symbol."""
    names = {source_name(symbol) for symbol, letter in symbols.items() if letter in "bBdDvVcC"}
    return not names.isdisjoint({("", variable.symbol), (variable.function, variable.name)})


def _may_be_same(file: str, other: str, variable: Variable, language: str) -> bool:
    return file == other or (is_plain(variable) if language == "rust" else variable.linkage != "static")


def _is_part(symbol: str, name: str) -> bool:
    """Whether clang made it of a part of the variable *name*."""
    return re.fullmatch(rf"_{{0,2}}(?:ZL\d+|ZN{ANONYMOUS}L?\d+)?{name}E?\.\d+", symbol) is not None


def source_name(symbol: str) -> tuple[str, str]:
    """Function (or "") and name of a variable's symbol: ``n.0``, ``f.n``, ``_ZL1n``, ``_ZZ1fmE1n``."""
    symbol = symbol.removeprefix("_") if symbol.startswith("__Z") or not symbol.startswith("_Z") else symbol
    symbol = re.sub(rf"N{ANONYMOUS}(L?(\d+)\D\w*?)E", r"\1", symbol)  # a namespace without a name
    found = re.fullmatch(r"_Z(?:ZL?(\d+)(.*)E|L)?(\d+)(.*)", symbol)
    if found:
        return (found[2] or "")[: int(found[1] or 0)], found[4][: int(found[3])]
    words = [word for word in symbol.split(".") if not word.isdigit()]
    return (words[0], words[1]) if len(words) > 1 else ("", words[0])
