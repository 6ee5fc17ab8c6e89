"""Random programs; the same seed makes the same one."""

from __future__ import annotations

from typing import Any

from adversary.changes import changed, replaced, rewritten, with_digests, with_name
from adversary.common_parts import CommonParts
from adversary.forms import of_another_shape, shaped
from adversary.interpret import HEADER
from adversary.model import Call, File, Function, Leaf, Program, Variable, functions_in, parts
from adversary.scope import LEAST_POINTED, NUMBERS, U64, WORDS, callbacks, rank, targets


class Generator(CommonParts):
    """Makes programs and their parts."""

    def program(self) -> Program:
        """A whole program."""
        names = ["a", "b", "c", "d"][: self.random.choice((1, 2, 2, 3, 3, 4))]
        names = names if len(names) > 1 or not self.features.crates else ["a", "b"]
        program = Program((File(HEADER, (), ()), *(File(name, (), ()) for name in names)))
        if self.features.crates:
            program = program._replace(library=self._library(names))
        kinds = ["variable"] * self.random.randint(5, 16) + ["function"] * self.random.randint(5, 14)
        self.random.shuffle(kinds)
        for number, kind in enumerate(kinds):
            if kind == "variable" and self.features.cxx and self.chance(7):
                program = self._with_header_variable(program, f"v{number}")
            elif kind == "variable":
                program = self.with_variable(program, self.random.choice(names), f"v{number}")
            elif self.features.names and self.features.elf and self.chance(30):
                name, file = f"f{kinds[:number].count(kind)}", self.random.choice(names)
                program = self.with_alias(program, file, name) or program
            else:
                file = HEADER if self.chance(40 if self.features.inline_statics else 8) else self.random.choice(names)
                program = self.with_function(program, file, f"f{kinds[:number].count(kind)}")
        if self.features.classes:
            program = self.with_classes(program, names)
        if self.features.commons:
            program = self.with_commons(program, names)
        if self.features.names:
            program = self._with_names(program, names)
        for file in names:
            program = self._with_entry(program, file)
        for file in names if self.features.constructors else ():
            program = (self.chance(70) and self.with_constructor(program, file)) or program
        if self.features.libraries and len(names) > 1:
            shared = tuple(self.random.sample(names, self.random.randint(1, len(names) - 1)))
            program = rewritten(program, _visible)._replace(shared=shared)
        elif len(names) > 1 and not self.features.rust and self.chance(70 if self.features.folders else 25):
            program = program._replace(
                archived=tuple(self.random.sample(names, self.random.randint(1, len(names) - 1)))
            )
        if self.features.folders:
            for _ in range(self.random.randint(1, 5)):
                program = self.with_twin(program) or program
        if self.features.rivals:
            for _ in range(self.random.randint(1, 4)):
                program = self.with_rival(program, "weak") or program
        return with_digests(program)

    def _library(self, names: list[str]) -> tuple[str, ...]:
        """The modules of the library crate, generic functions among them."""
        return HEADER, *self.random.sample(names, self.random.randint(1, len(names) - 1))

    def _with_header_variable(self, program: Program, name: str) -> Program:
        """*program* with a variable that each file that uses it defines, and of which there is one."""
        leaf = self.random.choice(NUMBERS)
        made = Variable(name, (("", leaf),), 0, (leaf.stored(self.random.randrange(300)),), "inline")
        return changed(program, HEADER, variables=(*program.file(HEADER).variables, made))

    def with_rival(self, program: Program, linkage: str) -> Program | None:
        """*program* with one more definition of a name, in another file: weak, or global where there is a weak one."""
        known = [(file.name, each) for file in program.files for each in (*file.functions, *file.variables)]
        allowed = ("global", "weak") if linkage == "weak" else ("weak",)
        found = [(file, each) for file, each in known if each.linkage in allowed and _may_have_rivals(each)]
        if not found:
            return None
        file, original = self.random.choice(found)
        rivals = [each for _, each in known if each.name == original.name]
        homes = [each.name for each in program.files if each.name not in (HEADER, file)]
        homes = [home for home in homes if (home, original.name) not in {(name, each.name) for name, each in known}]
        is_decided = linkage != "weak" or any(each.linkage == "global" for each in rivals)
        if not homes or (program.archived and not is_decided) or (linkage != "weak" and len(rivals) > 1):
            return None  # which member of an archive a linker meets first is its own affair
        home = self.random.choice(homes)
        if isinstance(original, Variable):
            values = tuple(self.initial(program, home, original.leaf(n)) for n in range(original.cells))
            made = original._replace(linkage=linkage, initial=values, dynamic=False)
            return changed(program, home, variables=(made, *program.file(home).variables))
        function = original._replace(linkage=linkage, body=())
        program = changed(program, home, functions=(*program.file(home).functions, function))
        return replaced(program, home, function._replace(body=self.body(program, home, function, 2)))

    def with_twin(self, program: Program) -> Program | None:
        """*program* with a static variable or function called like one of another file."""
        kind = self.random.choice((Function, Variable))
        every = [(f.name, d) for f in program.files if f.name != HEADER for d in (*f.functions, *f.variables)]
        found = [(file, each) for file, each in every if type(each) is kind and _may_have_twins(each)]
        pairs = [(home, old, twin) for home, old in found for file, twin in found if home != file]
        pairs = [pair for pair in pairs if kind is Variable or _may_be_called(program, *pair)]
        pairs = [(home, old, twin) for home, old, twin in pairs if (home, twin.name) not in _names(every)]
        if not pairs:
            return None
        home, old, twin = self.random.choice(pairs)
        file = with_name(program.file(home), old.name, twin.name)
        return changed(program, home, variables=file.variables, functions=file.functions)

    def with_variable(self, program: Program, file: str, name: str, function: str = "") -> Program:
        """*program* with one more variable."""
        made = self.variable(program, file, name, function)
        return changed(program, file, variables=(*program.file(file).variables, made))

    def variable(self, program: Program, file: str, name: str, function: str = "") -> Variable:
        """A variable."""
        shape = self.random.choice(("scalar",) * 4 + ("array", "array", "struct", "structs"))
        width = self.random.randint(2, 4) if shape.startswith("struct") else 1
        fields = tuple((f"m{number}" if width > 1 else "", self._leaf(program, file)) for number in range(width))
        count = self.random.randint(2, 9) if shape in ("array", "structs") else 0
        linkage = "static" if function else self.random.choice(("static",) * 5 + ("global",) * 4 + ("hidden",))
        if linkage == "global" and self.chance(6):
            linkage = "weak"
        constant = self.chance(15)
        thread = self.features.thread_locals and not constant and self.chance(8)
        numbers = all(leaf.kind in ("number", "bool", "double") for _, leaf in fields)
        volatile = numbers and not constant and not thread and self.chance(5)
        made = Variable(name, fields, count, (), linkage, constant, thread, function, volatile=volatile)
        if thread and not self.features.forms:
            fields = tuple((label, leaf if leaf.kind not in ("pointer", "function") else U64) for label, leaf in fields)
            made = made._replace(fields=fields)
        if self.features.forms and len(fields) > 1:
            made = self._shaped(made)
        needs = any(leaf.kind in ("string", "pointer", "function") for _, leaf in made.fields)
        if constant or needs or self.chance(60):
            made = made._replace(initial=tuple(self.initial(program, file, made.leaf(n)) for n in range(made.cells)))
        is_number = made.cells == 1 and made.fields[0][1].kind == "number" and not (constant or thread)
        if self.features.cxx_runtime and is_number and linkage != "weak" and made.initial:
            made = made._replace(dynamic=self.chance(50 if function else 8))
            made = made._replace(dynamic=made.dynamic and not (self.features.constructors and not function))
        if self.features.forms and len(made.fields) == 1:
            made = self._shaped(made)
        return made

    def _shaped(self, variable: Variable) -> Variable:
        """*variable* in another form, by chance."""
        cxx = self.features.cxx
        # Apple's processors have instructions for atomics that the emulated one has not
        return shaped(self.random, variable, cxx=cxx, atomics=self.features.elf and not cxx)

    def initial(self, program: Program, file: str, leaf: Leaf) -> Any:
        """What a cell begins with."""
        match leaf.kind:
            case "string":
                return self.random.choice(WORDS)
            case "pointer":
                return self.random.choice(targets(program, file))
            case "function":
                return self.random.choice(callbacks(program, file))
        return leaf.stored(self.random.choice((0, 1, 1, 2, 3, 7, 100, 255, self.random.getrandbits(62))))

    def _leaf(self, program: Program, file: str) -> Leaf:
        kinds = ["number"] * 6 + ["u64", "u64", "bool", "double", "string"]
        kinds += ["pointer", "pointer"] if targets(program, file) else []
        kinds += ["function", "function"] if callbacks(program, file) else []
        kind = self.random.choice(kinds)
        if kind == "number":
            return self.random.choice(NUMBERS)
        return U64 if kind == "u64" else Leaf(kind)

    def with_function(self, program: Program, file: str, name: str) -> Program:
        """*program* with one more function, and perhaps a static variable of it."""
        linkage = "inline" if file == HEADER else self.random.choice(("static",) * 3 + ("global",) * 4 + ("hidden",))
        if linkage == "global" and self.chance(6):
            linkage = "weak"
        parameters = (U64,)
        if self.chance(25):
            parameters = tuple(self.random.choice(NUMBERS) for _ in range(self.random.randint(0, 3)))
        inlining = self.random.choice(("never", "never", "free"))
        if linkage == "static" and self.chance(8):
            inlining = "always"
        if linkage == "inline":
            inlining = "template" if self.features.cxx and parameters == (U64,) and self.chance(50) else "free"
        made = Function(name, parameters, (), linkage, inlining)
        made = of_another_shape(self.random, made) if self.features.forms else made
        program = changed(program, file, functions=(*program.file(file).functions, made))
        if file != HEADER and linkage not in ("weak",) and self.chance(25):
            local = self.random.choice(("n", "calls", f"s{rank(name)}", f"s{rank(name)}"))
            program = self.with_variable(program, file, local, name)
        if file == HEADER and self.features.inline_statics and self.chance(75):
            program = self._with_inline_static(program, name)
        body = self.body(program, file, made, self.random.randint(1, 5))
        return replaced(program, file, made._replace(body=body))

    def _with_inline_static(self, program: Program, function: str) -> Program:
        """*program* with a static variable of a function of the header."""
        made = self.variable(program, HEADER, self.random.choice(("n", f"s{rank(function)}")), function)
        made = made._replace(linkage="inline" if self.features.cxx else "static", constant=False)
        return changed(program, HEADER, variables=(*program.file(HEADER).variables, made))

    def _with_names(self, program: Program, files: list[str]) -> Program:
        """*program* with other names for some of what it has."""
        for number in range(self.random.randint(0, 2) if self.features.elf else 0):
            program = self.with_variable_alias(program, self.random.choice(files), f"v{90 + number}") or program
        program = self.with_labels(program, 25)
        return self.with_namespaces(program, 40) if self.features.cxx else program

    def _with_entry(self, program: Program, file: str) -> Program:
        entry = Function(f"step_{file}", (U64,), (), "global", "never", entry=True)
        program = changed(program, file, functions=(*program.file(file).functions, entry))
        return replaced(program, file, entry._replace(body=self.body(program, file, entry, self.random.randint(3, 6))))


def _visible(node: Any) -> Any:
    """A hidden definition made one that a shared library sees."""
    return node._replace(linkage="global") if type(node) in (Function, Variable) and node.linkage == "hidden" else node


def _may_have_twins(definition: Function | Variable) -> bool:
    plain = not definition.function if isinstance(definition, Variable) else "::" not in definition.name
    return plain and definition.linkage == "static"


def _names(every: list[tuple[str, Any]]) -> set[tuple[str, str]]:
    return {(file, each.name) for file, each in every}


def _may_be_called(program: Program, home: str, old: Function, twin: Function) -> bool:
    """Whether a function of a file may have another's name, so that those of higher numbers call those of lower."""
    if (rank(old.name) < LEAST_POINTED) != (rank(twin.name) < LEAST_POINTED):
        return False
    callers = [f.name for f in program.file(home).functions if old.name in functions_in(f.body)]
    called = [part.function for part in parts(old.body) if type(part) is Call]
    number = rank(twin.name)
    return all(rank(name) > number for name in callers) and all(rank(name) < number for name in called)


def _may_have_rivals(definition: Function | Variable) -> bool:
    if isinstance(definition, Function):
        return not definition.entry and definition.inlining in ("never", "free")
    plain = not (definition.function or definition.thread_local or definition.dynamic)
    plain = plain and not definition.constant  # C++ reads a constant that it sees as it compiles, a weak one too
    return plain and all(leaf.kind in ("number", "bool", "double", "string") for _, leaf in definition.fields)
