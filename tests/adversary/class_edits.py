"""Edits of classes. Each keeps the program whole, callers included; None where it does not fit."""

from __future__ import annotations

from typing import Any

from adversary.changes import changed, replaced, rewritten
from adversary.class_parts import callable_methods
from adversary.classes import (
    HEADER,
    ancestors,
    bodies,
    class_of,
    fields_as_they_are,
    fields_of,
    is_sound,
    method_of,
    methods_of,
)
from adversary.edit_steps import Edits
from adversary.model import (
    Accumulator,
    Argument,
    Binary,
    CallVirtual,
    Class,
    Constant,
    Place,
    Program,
    Set,
    functions_in,
    variables_in,
)
from adversary.scope import U64, Scope


class ClassEdits(Edits):
    """What people change of classes."""

    def _class(self, program: Program) -> Class | None:
        return self.random.choice(program.classes) if program.classes else None

    def _as_class(self, program: Program, each: Class) -> Program | None:
        """*program* with another form of a class of that name, if a compiler takes it."""
        classes = tuple(each if other.name == each.name else other for other in program.classes)
        program = fields_as_they_are(program._replace(classes=classes))
        return program if is_sound(program) else None

    def _add_override(self, program: Program) -> Program | None:
        """A derived class gets a function of its own for one that it had from a base."""
        each = self._class(program)
        missing = [m for m in methods_of(program, each.name) if m not in each.methods] if each else []
        if each is None or not missing:
            return None
        method = self.random.choice(missing)
        if any(method in class_of(program, base).plain for base in ancestors(program, each.name)):
            return None
        home = HEADER if self.generator.chance(30) else self._file(program).name
        made = self._as_class(program, self._declaring(each, method))
        return None if made is None else self.generator.with_method(made, each.name, method, home)

    def _declaring(self, each: Class, method: str) -> Class:
        at = self.random.randint(0, len(each.methods))
        return each._replace(methods=(*each.methods[:at], method, *each.methods[at:]))

    def _remove_override(self, program: Program) -> Program | None:
        """A derived class goes back to its base's function."""
        found = [
            (each, m)
            for each in program.classes
            for m in each.methods
            if any(m in methods_of(program, base) for base, _ in each.bases)
        ]
        if not found:
            return None
        each, method = self.random.choice(found)
        base = next(b for b in reversed(ancestors(program, each.name)[:-1]) if method in class_of(program, b).methods)
        name = f"{each.name}::{method}"
        rest = each._replace(methods=tuple(m for m in each.methods if m != method))

        def via_base(node: Any) -> Any:
            is_it = type(node) is CallVirtual and (node.via, node.method) == (each.name, method)
            return node._replace(via=base, direct=False) if is_it else node

        for file in program.files:
            program = changed(program, file.name, functions=tuple(f for f in file.functions if f.name != name))
        return self._as_class(self._each_function(program, via_base), rest)

    def _add_virtual(self, program: Program) -> Program | None:
        """A class gets one more virtual function, at the end or before others, and somebody calls it."""
        each = self._class(program)
        if each is None or any(method.startswith("g") for method in each.methods):
            return None
        method = f"g{self._number}"
        made = self._as_class(program, self._declaring(each, method))
        if made is None:
            return None
        made = self.generator.with_method(made, each.name, method, self._file(program).name)
        return self._called(made, method)

    def _called(self, program: Program, method: str) -> Program:
        """*program* with a call of that function of a class in an entry that can."""
        for file in program.files:
            for function in file.functions:
                if not function.entry or function.name.startswith("digest_"):
                    continue
                found = callable_methods(Scope(program, file.name, function.name), function)
                for place, via, name in found:
                    if name == method:
                        call = CallVirtual(place, via, method, Accumulator())
                        more = Set(Binary("+", Accumulator(), call))
                        return replaced(program, file.name, function._replace(body=(*function.body, more)))
        return program

    def _order_of_virtuals(self, program: Program) -> Program | None:
        """A class declares its functions in another order."""
        each = self._class(program)
        if each is None or len(each.methods) < 2:
            return None
        methods = list(each.methods)
        self.random.shuffle(methods)
        return self._as_class(program, each._replace(methods=tuple(methods)))

    def _becomes_plain(self, program: Program) -> Program | None:
        """A function that no other class has is virtual no longer."""
        found = [
            (each, m)
            for each in program.classes
            for m in each.methods
            if f"{each.name}::{m}" in bodies(program)
            and m not in each.plain
            and len([m for m in each.methods if m not in each.plain]) > 1
            and not any(m in other.methods for other in program.classes if other != each)
        ]
        if not found:
            return None
        each, method = self.random.choice(found)
        return self._as_class(program, each._replace(plain=(*each.plain, method)))

    def _move_method(self, program: Program) -> Program | None:
        """A class's function goes to another file, or to the header: the file with the class's table may change."""
        found = [(file.name, f) for file in program.files for f in file.functions if "::" in f.name]
        if not found:
            return None
        file, function = self.random.choice(found)
        home = HEADER if self.generator.chance(30) else self._file(program).name
        uses = (variables_in(function.body) | functions_in(function.body)) - {"this"}
        if home == file or uses:
            return None
        rest = tuple(each for each in program.file(file).functions if each != function)
        moved = function._replace(linkage="inline" if home == HEADER else "global")
        program = changed(program, file, functions=rest)
        return changed(program, home, functions=(*program.file(home).functions, moved))

    def _add_field(self, program: Program) -> Program | None:
        """A class has one more field."""
        each = self._class(program)
        if each is None:
            return None
        at = self.random.randint(0, len(each.fields))
        number = int(each.name[1:])
        more = (f"k{number}m{self._number}", U64, self.random.randrange(99))
        grown = self._as_class(program, each._replace(fields=(*each.fields[:at], more, *each.fields[at:])))
        if grown is None:
            return None
        return _renumbered(program, grown)

    def _field_value(self, program: Program) -> Program | None:
        """A field of new objects begins with something else."""
        each = self._class(program)
        if each is None or not each.fields:
            return None
        at = self.random.randrange(len(each.fields))
        name, leaf, value = each.fields[at]
        fields = (*each.fields[:at], (name, leaf, value + 7), *each.fields[at + 1 :])
        return self._as_class(program, each._replace(fields=fields))

    def _order_of_bases(self, program: Program) -> Program | None:
        """A class names its bases in another order."""
        found = [each for each in program.classes if len(each.bases) > 1]
        if not found:
            return None
        each = self.random.choice(found)
        made = self._as_class(program, each._replace(bases=each.bases[::-1]))
        return None if made is None else _renumbered(program, made)

    def _method_argument(self, program: Program) -> Program | None:
        """A class's function begins with something else."""
        found = [(file.name, f) for file in program.files for f in file.functions if "::" in f.name]
        if not found:
            return None
        file, function = self.random.choice(found)
        begin = Set(Binary("+", Argument(0), Constant(self.random.randrange(1, 99))))
        return replaced(program, file, function._replace(body=(begin, *function.body[1:])))


CLASS_EDITS = (
    *("method_argument", "add_override") * 4,
    *("remove_override", "move_method", "field_value") * 2,
    *("add_virtual", "order_of_virtuals", "becomes_plain", "add_field", "order_of_bases"),
)
"""The edits, the likelier ones several times."""

CLASS_TYPES = frozenset(("add_virtual", "order_of_virtuals", "becomes_plain", "add_field", "order_of_bases"))
"""Those that only debug information tells; so it is with a function that is overridden beside a second base."""


def _renumbered(before: Program, after: Program) -> Program:
    """*after* with places that name the fields that they named in *before*: they name them by number."""
    names = {each.name: [name for name, _, _ in fields_of(before, each.name)] for each in before.classes}
    places = {each.name: [name for name, _, _ in fields_of(after, each.name)] for each in after.classes}
    of = {v.name: v.of for file in before.files for v in file.variables if v.of}

    for file in after.files:
        functions = []
        for function in file.functions:
            owner = method_of(function.name)[0]

            def moved(node: Any, owner: str = owner) -> Any:
                known = (owner if node.variable == "this" else of.get(node.variable, "")) if type(node) is Place else ""
                return node._replace(field=places[known].index(names[known][node.field])) if known else node

            functions.append(rewritten(function, moved))
        after = changed(after, file.name, functions=tuple(functions))
    return after
