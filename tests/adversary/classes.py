"""What the classes of a program are made of: fields, virtual functions, and whose table an object gets.

A class's functions are functions of the program, called ``class::name``, in the file that defines them; those of the
header are inline. One that the class declares and nobody defines is pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from adversary.model import CallVirtual, Class, Fresh, Function, Leaf, Make, Program, Variable, parts

HEADER = "h"
"""The file whose functions are in every file that uses them."""


def class_of(program: Program, name: str) -> Class:
    """The class of that name."""
    return next(each for each in program.classes if each.name == name)


def ancestors(program: Program, name: str) -> list[str]:
    """A class and its bases, each once, bases first."""
    found: list[str] = []
    for base, _ in class_of(program, name).bases:
        found += [each for each in ancestors(program, base) if each not in found]
    return [*found, name]


def derived(program: Program, name: str) -> list[str]:
    """The classes whose objects a pointer to *name* may lead to."""
    return [each.name for each in program.classes if name in ancestors(program, each.name)]


def fields_of(program: Program, name: str) -> list[tuple[str, Leaf, int]]:
    """Name, type and first value of each field of an object."""
    return [field for each in ancestors(program, name) for field in class_of(program, each).fields]


def method_of(function: str) -> tuple[str, str]:
    """Class and name of a class's function; no class for others."""
    owner, _, name = function.rpartition("::")
    return owner, name


@lru_cache(maxsize=256)
def bodies(program: Program) -> dict[str, tuple[str, Function]]:
    """Name of a class's function -> its file, and itself."""
    return {f.name: (file.name, f) for file in program.files for f in file.functions if "::" in f.name}


def overriders(program: Program, name: str, method: str) -> set[str]:
    """The classes whose function a call means for an object of class *name*: one, where the program is sound."""
    owner = class_of(program, name)
    if method in owner.methods:
        return {name}
    found = [each for base, _ in owner.bases for each in overriders(program, base, method)]
    return {one for one in found if not any(one != other and one in ancestors(program, other) for other in found)}


def overrider(program: Program, name: str, method: str) -> str:
    """The one of them that has a body; empty where it is pure, or there is none."""
    found = overriders(program, name, method)
    one = found.pop() if len(found) == 1 else ""
    return one if f"{one}::{method}" in bodies(program) else ""


def methods_of(program: Program, name: str) -> list[str]:
    """The names of all functions that an object of class *name* has."""
    return list(dict.fromkeys(m for each in ancestors(program, name) for m in class_of(program, each).methods))


def is_plain(program: Program, name: str, method: str) -> bool:
    """Whether the function that class *name* declares is not virtual."""
    return method in class_of(program, name).plain


def is_whole(program: Program, name: str) -> bool:
    """Whether there may be objects of it."""
    return all(overrider(program, name, method) for method in methods_of(program, name))


def is_sound(program: Program) -> bool:
    """Whether a compiler takes its classes: one function for each name, and no field twice."""
    for each in program.classes:
        if any(len(overriders(program, each.name, method)) != 1 for method in methods_of(program, each.name)):
            return False
    return all(is_whole(program, name) for name in made_in(program, program.files))


def key_file(program: Program, name: str) -> str:
    """The file that alone has the class's table: that of its first virtual function that is not inline; else empty."""
    owner = class_of(program, name)
    for method in owner.methods:
        file = bodies(program).get(f"{name}::{method}", (HEADER,))[0]
        if file != HEADER and method not in owner.plain:
            return file
    return ""


def made_in(program: Program, node: object) -> set[str]:
    """The classes of which objects are made in *node*."""
    made = {part.of for part in parts(node) if isinstance(part, (Fresh, Make))}
    return made | {part.of for part in parts(node) if isinstance(part, Variable) and part.of}


def used_in(program: Program, node: object) -> set[str]:
    """The classes that *node* names, and their bases."""
    named = made_in(program, node)
    for part in parts(node):
        if isinstance(part, (CallVirtual, Fresh)):
            named.add(part.via)
        elif isinstance(part, Leaf) and part.of:
            named.add(part.of)
        elif isinstance(part, Function) and "::" in part.name:
            named.add(method_of(part.name)[0])
    return {each for name in named for each in ancestors(program, name)}


def objects(program: Program) -> Iterator[tuple[str, Variable]]:
    """File and each variable that is an object."""
    return ((file.name, v) for file in program.files for v in file.variables if v.of)


def fields_as_they_are(program: Program) -> Program:
    """*program* with objects that have the fields of their classes."""
    files = []
    for file in program.files:
        variables = []
        for variable in file.variables:
            fields = fields_of(program, variable.of) if variable.of else []
            typed = tuple((name, leaf) for name, leaf, _ in fields)
            values = tuple(leaf.stored(value) for _, leaf, value in fields)
            variables.append(variable._replace(fields=typed, initial=values) if fields else variable)
        files.append(file._replace(variables=tuple(variables)))
    return program._replace(files=tuple(files))


def this(program: Program, function: str) -> Variable | None:
    """The object that a class's function works on, as a variable; None for other functions."""
    owner, _ = method_of(function)
    if not owner:
        return None
    fields = fields_of(program, owner)
    return Variable("this", tuple((name, leaf) for name, leaf, _ in fields), of=owner)
