"""Edits of functions. Each keeps the program whole, callers included; None where it does not fit."""

from __future__ import annotations

from typing import Any

from adversary.changes import changed, replaced, rewritten
from adversary.edit_steps import Edits
from adversary.interpret import HEADER
from adversary.model import (
    Accumulator,
    Binary,
    Call,
    Constant,
    File,
    Function,
    Point,
    Program,
    Set,
    functions_in,
    parts,
    variables_in,
)
from adversary.scope import NUMBERS, U64, WORDS, Scope


class FunctionEdits(Edits):
    """What people change of functions."""

    def _body(self, program: Program) -> Program | None:
        """Statements are added to a function, taken from it, or both."""
        found = self._function(program, methods=True)
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
        found = self._function(program, methods=True)
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

    def _add_default(self, program: Program) -> Program | None:
        """A second definition, a weak one, of what another file defines."""
        return self.generator.with_rival(program, "weak")

    def _add_override(self, program: Program) -> Program | None:
        """A definition of what another file defines as weak."""
        return self.generator.with_rival(program, "global")

    def _rename_function(self, program: Program) -> Program | None:
        """A function is called otherwise; its number stays, so that no circle of calls begins."""
        found = self._function(program, entries=False)
        if found is None or self._is_ambiguous(program, found[1].name):
            return None
        old = found[1].name
        new = f"r{'_' * (self._number // 1000)}{old.lstrip('r_')}"
        return self._renamed(program, old, new) if new != old else None

    def _signature(self, program: Program) -> Program | None:
        """A function takes one more argument, or one of another type; all callers are changed too."""
        found = self._function(program, entries=False)
        if found is None or self._is_ambiguous(program, found[1].name):
            return None
        file, function = found
        is_pointed = self._is_pointed_to(program, function.name)
        if is_pointed or len(function.parameters) > 2 or function.form or function.inlining == "template":
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
        if home == file or self._is_ambiguous(program, function.name):
            return None
        if any(v.function == function.name for v in program.file(file).variables):
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

    def _inlining(self, program: Program) -> Program | None:
        """A function may be inlined that could not, or the other way round."""
        found = self._function(program, entries=False)
        if found is None or found[0] == HEADER:
            return None
        file, function = found
        other = {"never": "free", "free": "never", "always": "free"}[function.inlining]
        return replaced(program, file, function._replace(inlining=other))

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
