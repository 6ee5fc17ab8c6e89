"""Random edits of a program: what people change between two saves. Each keeps the program whole, callers included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from adversary.generate import (
    NUMBERS,
    U64,
    WORDS,
    Generator,
    Scope,
    can_be_target,
    changed,
    rank,
    replaced,
    with_digests,
)
from adversary.interpret import HEADER
from adversary.model import (
    Accumulator,
    Binary,
    Call,
    Constant,
    File,
    Function,
    LeadsTo,
    Load,
    Place,
    Point,
    Program,
    Set,
    Store,
    Variable,
    functions_in,
    parts,
    variables_in,
)


class Edited(NamedTuple):
    """A program after an edit."""

    program: Program
    what: str
    """The edit, for people."""


def rewritten(node: Any, change: Callable[[Any], Any]) -> Any:
    """*node* with each part, the innermost first, as *change* has it."""
    if isinstance(node, tuple):
        inner = [rewritten(part, change) for part in node]
        made = tuple(inner) if type(node) is tuple else type(node)(*inner)
        return change(made) if type(node) is not tuple else made
    return node


class Editor:
    """Makes edits.

    Args:
        generator: makes new parts.
        types: whether a variable may get another type of the same size, and a function other parameters: only debug
            information tells that.
    """

    def __init__(self, generator: Generator, *, types: bool) -> None:
        self.generator = generator
        self.random = generator.random
        self.types = types
        self._number = 0

    def edit(self, program: Program, generation: int) -> Edited:
        """One to three edits of *program*."""
        told = []
        for number in range(self.random.choice((1, 1, 1, 2, 3))):
            while True:
                name = self.random.choice(EDITS if self.types else [each for each in EDITS if each not in TYPES])
                self._number = 1000 * generation + 10 * number
                made: Program | None = getattr(self, f"_{name}")(program)
                if made is not None and with_digests(made) != program:
                    break
            program = with_digests(made)
            told.append(name)
        return Edited(program, ", ".join(told))

    def _file(self, program: Program) -> File:
        return self.random.choice([file for file in program.files if file.name != HEADER])

    def _function(self, program: Program, *, entries: bool = True) -> tuple[str, Function] | None:
        found = [
            (file.name, function)
            for file in program.files
            for function in file.functions
            if not function.name.startswith("digest_") and (entries or not function.entry)
        ]
        return self.random.choice(found) if found else None

    def _variable(self, program: Program, *, local: bool = False) -> tuple[str, Variable] | None:
        found = [(f.name, v) for f in program.files for v in f.variables if local or not v.function]
        return self.random.choice(found) if found else None

    def _body(self, program: Program) -> Program | None:
        """Statements are added to a function, taken from it, or both."""
        found = self._function(program)
        if found is None:
            return None
        file, function = found
        begin = max(len(function.parameters), 1)
        body = list(function.body)
        made = self.generator.body(program, file, function, 1)[-1]
        where = self.random.randint(min(begin, len(body)), len(body))
        match self.random.randrange(3):
            case 0:
                body.insert(where, made)
            case 1 if len(body) > begin:
                body[min(where, len(body) - 1)] = made
            case _ if len(body) > begin:
                del body[min(where, len(body) - 1)]
        return replaced(program, file, function._replace(body=tuple(body)))

    def _number_in_body(self, program: Program) -> Program | None:
        """A function's first constant is another one."""
        found = self._function(program)
        if found is None:
            return None
        file, function = found
        more = self.random.randrange(1, 50)
        changed_body = rewritten(function.body, lambda n: Constant(n.value + more) if type(n) is Constant else n)
        return replaced(program, file, function._replace(body=changed_body))

    def _entry_uses(self, program: Program) -> Program | None:
        """An entry function uses something that it did not."""
        file = self._file(program)
        function = next((each for each in file.functions if each.name == f"step_{file.name}"), None)
        if function is None:
            return None
        made = [self.generator.statement(Scope(program, file.name, function.name), function, 1) for _ in range(2)]
        return replaced(program, file.name, function._replace(body=(*function.body, *made)))

    def _add_function(self, program: Program) -> Program | None:
        """A new function, and a call of it."""
        found = self._function(program)
        if found is None or found[0] == HEADER:
            return None
        file, caller = found
        home = self._file(program).name if self.generator.chance(30) else file
        name = f"g{self._number}x"
        linkage = "static" if home == file else "global"
        made = Function(name, (U64,), (), linkage, self.random.choice(("never", "free")))
        program = changed(program, home, functions=(*program.file(home).functions, made))
        scope = Scope(program, home, "f0")
        body = [self.generator._set(scope, made, 2) for _ in range(2)]
        extra = [self.generator._store(scope, made, 2), self.generator._load(scope, made, 2)]
        program = replaced(program, home, made._replace(body=tuple(filter(None, [*body, *extra]))))
        caller = next(each for each in program.file(file).functions if each.name == caller.name)
        call = Set(Binary("+", Accumulator(), Call(name, (Accumulator(),), self.generator.chance(20))))
        return replaced(program, file, caller._replace(body=(*caller.body, call)))

    def _remove_function(self, program: Program) -> Program | None:
        """A function goes, with all calls of it."""
        found = self._function(program, entries=False)
        if found is None:
            return None
        file, function = found
        used_by_data = any(function.name in v.initial for each in program.files for v in each.variables)
        pointed = any(type(p) is Point and p.target == function.name for f in program.files for p in parts(f.functions))
        if used_by_data or pointed or self._is_ambiguous(program, function.name):
            return None
        without = [each for each in program.file(file).functions if each.name != function.name]
        variables = tuple(v for v in program.file(file).variables if v.function != function.name)
        program = changed(program, file, functions=tuple(without), variables=variables)

        def uncalled(node: Any) -> Any:
            return Constant(5) if type(node) is Call and node.function == function.name else node

        return self._each_function(program, uncalled)

    def _is_ambiguous(self, program: Program, name: str) -> bool:
        return sum(each.name == name for file in program.files for each in (*file.functions, *file.variables)) > 1

    def _each_function(self, program: Program, change: Callable[[Any], Any]) -> Program:
        for file in program.files:
            program = changed(program, file.name, functions=tuple(rewritten(each, change) for each in file.functions))
        return program

    def _add_variable(self, program: Program) -> Program | None:
        """A new variable, and a use of it."""
        file = self._file(program)
        users = [each for each in file.functions if not each.name.startswith("digest_")]
        if not users:
            return None
        function = self.random.choice(users)
        name, local = f"w{self._number}", function.name if self.generator.chance(25) else ""
        program = self.generator.with_variable(program, file.name, name, local)
        return self._using(program, file.name, function.name, name)

    def _using(self, program: Program, file: str, function: str, name: str) -> Program:
        variable = next(each for each in program.file(file).variables if each.name == name)
        user = next(each for each in program.file(file).functions if each.name == function)
        numbers = [n for n, (_, leaf) in enumerate(variable.fields) if leaf.kind in ("number", "bool", "double")]
        if not numbers:
            return program
        place = Place(name, numbers[0], Accumulator() if variable.count else None)
        more: list[Any] = [Set(Binary("+", Accumulator(), Load(place)))]
        if not variable.constant:
            more.insert(0, Store(place, Binary("+", Load(place), Constant(3))))
        return replaced(program, file, user._replace(body=(*user.body, *more)))

    def _remove_variable(self, program: Program) -> Program | None:
        """A variable goes, with what uses it."""
        found = self._variable(program)
        if found is None or self._is_ambiguous(program, found[1].name):
            return None
        file, variable = found
        if any(variable.name in each.initial for f in program.files for each in f.variables):
            return None
        program = changed(program, file, variables=tuple(v for v in program.file(file).variables if v != variable))
        for each in program.files:
            functions = tuple(
                f._replace(body=tuple(s for s in f.body if variable.name not in variables_in(s)))
                for f in each.functions
            )
            program = changed(program, each.name, functions=functions)
        return program

    def _initial_value(self, program: Program) -> Program | None:
        """A variable, or a constant, begins with something else."""
        found = self._variable(program, local=True)
        if found is None:
            return None
        file, variable = found
        at = self.random.randrange(variable.cells)
        values = list(variable.initial or (0,) * variable.cells)
        leaf = variable.leaf(at)
        if leaf.kind in ("pointer", "function"):
            return None  # what it leads to must stand in front of it
        values[at] = self.random.choice(WORDS) if leaf.kind == "string" else leaf.stored(values[at] + 7)
        return self._with(program, file, variable, variable._replace(initial=tuple(values)))

    def _with(self, program: Program, file: str, old: Variable, new: Variable) -> Program:
        variables = tuple(new if each == old else each for each in program.file(file).variables)
        return changed(program, file, variables=variables)

    def _retype(self, program: Program) -> Program | None:
        """A number of a variable has another type."""
        found = self._variable(program)
        if found is None:
            return None
        file, variable = found
        at = self.random.randrange(len(variable.fields))
        label, leaf = variable.fields[at]
        if leaf.kind != "number" or self._is_pointed_to(program, variable.name):
            return None
        other = self.random.choice([each for each in NUMBERS if each != leaf])
        fields = (*variable.fields[:at], (label, other), *variable.fields[at + 1 :])
        return self._with(program, file, variable, self._refitted(variable._replace(fields=fields)))

    def _refitted(self, variable: Variable) -> Variable:
        if not variable.initial:
            return variable
        pairs = enumerate(variable.initial)
        values = tuple(variable.leaf(n).stored(value) if isinstance(value, int) else value for n, value in pairs)
        return variable._replace(initial=values)

    def _is_pointed_to(self, program: Program, name: str) -> bool:
        if any(name in each.initial for file in program.files for each in file.variables):
            return True
        named = (part for file in program.files for part in parts(file.functions))
        return any(
            (type(part) is Point and part.target == name) or (type(part) is LeadsTo and part.variable == name)
            for part in named
        )

    def _resize(self, program: Program) -> Program | None:
        """An array has more elements, or fewer."""
        found = self._variable(program)
        if found is None or not found[1].count:
            return None
        file, variable = found
        count = self.random.choice([n for n in range(2, 10) if n != variable.count])
        initial = variable.initial
        if initial:
            initial = (initial * 5)[: count * len(variable.fields)]
        return self._with(program, file, variable, variable._replace(count=count, initial=initial))

    def _reorder_fields(self, program: Program) -> Program | None:
        """Fields of a structure change places, or there is one more."""
        found = self._variable(program)
        if found is None or len(found[1].fields) < 2:
            return None
        file, variable = found
        if self._is_pointed_to(program, variable.name):
            return None
        order = list(range(len(variable.fields)))
        self.random.shuffle(order)
        place_of = {old: new for new, old in enumerate(order)}
        fields = tuple(variable.fields[old] for old in order)
        width = len(fields)
        rows = [variable.initial[at : at + width] for at in range(0, len(variable.initial), width)]
        initial = tuple(row[old] for row in rows for old in order)
        program = self._with(program, file, variable, variable._replace(fields=fields, initial=initial))

        def moved(node: Any) -> Any:
            is_it = type(node) is Place and node.variable == variable.name
            return node._replace(field=place_of[node.field]) if is_it else node

        return self._each_function(program, moved)

    def _rename_variable(self, program: Program) -> Program | None:
        """A variable is called otherwise."""
        found = self._variable(program)
        if found is None or self._is_ambiguous(program, found[1].name):
            return None
        return self._renamed(program, found[1].name, f"w{self._number}")

    def _rename_function(self, program: Program) -> Program | None:
        """A function is called otherwise; its number stays, so that no circle of calls begins."""
        found = self._function(program, entries=False)
        if found is None or self._is_ambiguous(program, found[1].name):
            return None
        old = found[1].name
        new = f"r{'_' * (self._number // 1000)}{old.lstrip('r_')}"
        return self._renamed(program, old, new) if new != old else None

    def _renamed(self, program: Program, old: str, new: str) -> Program:
        def other(node: Any) -> Any:
            if type(node) in (Place, LeadsTo) and node.variable == old:
                return node._replace(variable=new)
            if type(node) is Call and node.function == old:
                return node._replace(function=new)
            if type(node) is Point and node.target == old:
                return node._replace(target=new)
            if type(node) is Variable:
                initial = tuple(new if value == old else value for value in node.initial)
                name = new if node.name == old else node.name
                return node._replace(
                    name=name, initial=initial, function=new if node.function == old else node.function
                )
            if type(node) is Function and node.name == old:
                return node._replace(name=new)
            return node

        renamed: Program = rewritten(program, other)
        return renamed

    def _signature(self, program: Program) -> Program | None:
        """A function takes one more argument, or one of another type; all callers are changed too."""
        found = self._function(program, entries=False)
        if found is None or self._is_ambiguous(program, found[1].name):
            return None
        file, function = found
        is_pointed = self._is_pointed_to(program, function.name)
        if is_pointed or len(function.parameters) > 2 or function.inlining == "template":
            return None
        more = self.random.choice(NUMBERS)
        function = function._replace(parameters=(*function.parameters, more))
        program = replaced(program, file, function)

        def called(node: Any) -> Any:
            is_it = type(node) is Call and node.function == function.name
            return node._replace(arguments=(*node.arguments, Constant(2))) if is_it else node

        return self._each_function(program, called)

    def _move_function(self, program: Program) -> Program | None:
        """A function goes to another file."""
        found = self._function(program, entries=False)
        if found is None or found[0] == HEADER or found[1].linkage in ("static", "weak"):
            return None
        file, function = found
        home = self._file(program).name
        if home == file or any(v.function == function.name for v in program.file(file).variables):
            return None
        scope = Scope(program, home, function.name)
        reachable = {v.name for v in scope.variables} | {f.name for f in scope.functions} | set(WORDS)
        statics = {v.name for each in program.files for v in each.variables if v.linkage == "static"}
        statics |= {f.name for each in program.files for f in each.functions if f.linkage == "static"}
        names = variables_in(function.body) | functions_in(function.body)
        if not names <= reachable or names & statics:
            return None
        rest = tuple(each for each in program.file(file).functions if each.name != function.name)
        program = changed(program, file, functions=rest)
        return changed(program, home, functions=(*program.file(home).functions, function))

    def _function_linkage(self, program: Program) -> Program | None:
        """A static function becomes one that all files see, or the other way round."""
        found = self._function(program, entries=False)
        if found is None or found[0] == HEADER or found[1].inlining in ("always", "template"):
            return None
        file, function = found
        if self._is_ambiguous(program, function.name):
            return None
        if function.linkage == "static":
            return replaced(program, file, function._replace(linkage="global"))
        if self._is_used_elsewhere(program, file, function.name) or function.linkage == "weak":
            return None
        return replaced(program, file, function._replace(linkage="static"))

    def _variable_linkage(self, program: Program) -> Program | None:
        """Likewise a variable."""
        found = self._variable(program)
        if found is None or found[0] == HEADER or self._is_ambiguous(program, found[1].name):
            return None
        file, variable = found
        if variable.linkage == "static":
            return self._with(program, file, variable, variable._replace(linkage="global"))
        if self._is_used_elsewhere(program, file, variable.name) or variable.linkage == "weak":
            return None
        return self._with(program, file, variable, variable._replace(linkage="static"))

    def _is_used_elsewhere(self, program: Program, file: str, name: str) -> bool:
        for each in program.files:
            uses = functions_in(each.functions) | variables_in(each.functions)
            uses |= {value for v in each.variables for value in v.initial if isinstance(value, str)}
            if each.name not in (file,) and name in uses:
                return True
        return False

    def _inlining(self, program: Program) -> Program | None:
        """A function may be inlined that could not, or the other way round."""
        found = self._function(program, entries=False)
        if found is None or found[0] == HEADER:
            return None
        file, function = found
        other = {"never": "free", "free": "never", "always": "free"}[function.inlining]
        return replaced(program, file, function._replace(inlining=other))

    def _volatile(self, program: Program) -> Program | None:
        """A variable becomes volatile, or is so no longer."""
        found = self._variable(program)
        if found is None or found[1].constant or found[1].thread_local or can_be_target(found[1]):
            return None
        if self._is_pointed_to(program, found[1].name):
            return None
        file, variable = found
        if any(leaf.kind not in ("number", "bool", "double") for _, leaf in variable.fields):
            return None
        return self._with(program, file, variable, variable._replace(volatile=not variable.volatile))

    def _comment(self, program: Program) -> Program | None:
        """A file has one more function that nobody calls."""
        file = self._file(program)
        made = Function(f"u{self._number}", (U64,), (Set(Constant(self.random.randrange(99))),), "global", "never")
        return changed(program, file.name, functions=(made, *file.functions))

    def _new_file(self, program: Program) -> Program | None:
        """A new file with a function, and a call of it."""
        name = f"n{self._number}"
        found = self._function(program)
        if found is None or found[0] == HEADER:
            return None
        file, caller = found
        program = program._replace(files=(*program.files, File(name, (), ())))
        program = self.generator.with_variable(program, name, f"w{self._number}")
        made = Function(f"g{self._number}y", (U64,), (), "global", "never")
        program = changed(program, name, functions=(made,))
        body = [self.generator._set(Scope(program, name, "f0"), made, 2) for _ in range(2)]
        program = replaced(program, name, made._replace(body=tuple(body)))
        program = self._using(program, name, made.name, f"w{self._number}")
        call = Set(Binary("+", Accumulator(), Call(made.name, (Accumulator(),))))
        caller = next(each for each in program.file(file).functions if each.name == caller.name)
        return replaced(program, file, caller._replace(body=(*caller.body, call)))


EDITS = (
    *("body",) * 5,
    *("number_in_body", "entry_uses") * 3,
    *("add_function", "add_variable", "initial_value") * 2,
    *("remove_function", "remove_variable", "retype", "resize", "reorder_fields", "rename_variable", "rename_function"),
    *("signature", "move_function", "function_linkage", "variable_linkage", "inlining", "volatile", "comment"),
    "new_file",
)
"""The edits, the likelier ones several times."""

TYPES = frozenset(("retype", "reorder_fields", "signature"))
"""Those that only debug information tells."""

__all__ = ["EDITS", "TYPES", "Edited", "Editor", "rank", "rewritten"]
