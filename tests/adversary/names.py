"""The names that a definition has: its symbol, and others for it."""

from __future__ import annotations

from adversary.classes import method_of
from adversary.model import File, Function, Program, Variable

MANGLED = {(8, False): "h", (8, True): "a", (16, False): "t", (16, True): "s", (32, False): "j", (32, True): "i"}
MANGLED |= {(64, False): "m", (64, True): "l"}


ANONYMOUS = "12_GLOBAL__N_1"
"""A namespace without a name, mangled."""


def mangled(function: Function, language: str) -> str:
    """The symbol of a function; in Rust that of an entry."""
    if function.label or language in ("c", "rust"):
        return function.symbol
    more = "z" if function.form == "variadic" else ""
    known = function.parameters[:1] if more else function.parameters
    parameters = "".join(MANGLED[leaf.bits, leaf.signed] for leaf in known) + more or "v"
    owner, name = method_of(function.name)
    if owner:
        return f"_ZN{len(owner)}{owner}{len(name)}{name}E{parameters}"
    if function.identity[1]:
        return f"_ZN{ANONYMOUS}{len(function.name)}{function.name}E{parameters}"
    static = "L" if function.linkage == "static" else ""
    return f"_Z{static}{len(function.name)}{function.name}{parameters}"


def are_sound(program: Program) -> bool:
    """Whether each alias is one of something of its file that it can be an alias of."""
    for file in program.files:
        functions = {each.name: each for each in file.functions}
        variables = {each.name: each for each in file.variables if not each.function}
        for each in file.functions:
            target = functions.get(each.alias)
            if each.alias and not (target and can_be_aliased(target) and target.parameters == each.parameters):
                return False
            if each.by == "defsym" and target and target.linkage != "global":
                return False
        for variable in file.variables:
            known = variables.get(variable.alias)
            if variable.alias and not (known and can_be_named_again(known) and _shape(known) == _shape(variable)):
                return False
    return True


def can_be_aliased(function: Function) -> bool:
    """Whether another name may be given to it."""
    is_own = not (function.alias or function.entry) and function.linkage not in ("inline", "weak")
    return is_own and function.inlining in ("never", "free")


def can_be_named_again(variable: Variable) -> bool:
    """Whether a variable may have another name, by which other files know it: compilers take names for variables."""
    plain = not (variable.alias or variable.function or variable.thread_local or variable.dynamic or variable.of)
    return plain and variable.linkage == "static" and not variable.constant


def can_be_labelled(definition: Function | Variable) -> bool:
    """Whether the source may say what the assembler calls it."""
    if isinstance(definition, Function):
        return not definition.entry and definition.linkage != "inline" and "::" not in definition.name
    plain = not (definition.function or definition.of or definition.alias) and definition.linkage != "inline"
    return plain and (bool(definition.fields[0][0]) or definition.fields[0][1].kind != "function")


def can_be_anonymous(definition: Function | Variable) -> bool:
    """Whether a namespace without a name may make it static."""
    if definition.linkage != "static" or definition.label or definition.alias:
        return False
    return not definition.starts if isinstance(definition, Function) else not definition.function


def defined_by_linker(program: Program, language: str) -> list[str]:
    """The link's words that give functions other names."""
    return [
        f"-Wl,--defsym={mangled(each, language)}={mangled(_named(file, each.alias), language)}"
        for file in program.files
        for each in file.functions
        if each.by == "defsym"
    ]


def _named(file: File, function: str) -> Function:
    return next(each for each in file.functions if each.name == function)


def _shape(variable: Variable) -> tuple[object, ...]:
    return tuple(getattr(variable, name) for name in ("fields", "count", "constant", "thread_local", "volatile"))
