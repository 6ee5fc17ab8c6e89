"""Classes in C++: their definitions, and calls of their functions."""

from __future__ import annotations

from collections.abc import Callable

from adversary.classes import HEADER, bodies, class_of
from adversary.model import Program

HELPERS = """\
template <class T> inline __attribute__((always_inline)) T *unknown(T *it) { __asm__ volatile("" : "+r"(it) : : "memory"); return it; }
typedef char *__attribute__((may_alias)) word;
template <class T> inline __attribute__((always_inline)) unsigned long led(T *it, unsigned long (T::*member)(unsigned long), unsigned long a) {
  struct { unsigned long entry; long adjust; } parts;
  __builtin_memcpy(&parts, &member, sizeof parts);
  char *self = (char *)it + (parts.adjust >> 1);
  void *code = parts.adjust & 1 ? (void *)*(word *)(*(word *)self + parts.entry) : (void *)parts.entry;
  return ((unsigned long (*)(void *, unsigned long))hot(code))(self, a);
}"""  # noqa: E501  # a line of C++ is one statement
"""``unknown`` hides from a compiler what an object is, or it would call what it guesses; ``led`` has a virtual call
looked up by the runtime: a pointer to a member is the table's byte and twice the distance to the base (AAPCS64)."""


def class_text(program: Program, name: str, field: Callable[..., str]) -> str:
    """The definition of a class; *field* declares a name of a type."""
    each, known = class_of(program, name), bodies(program)
    bases = ", ".join(f"{'virtual ' if virtual else ''}{base}" for base, virtual in each.bases)
    lines = [f"struct {name}{f' : {bases}' if bases else ''} {{"]
    lines += [f"  {field(leaf, label)} = {leaf.stored(value)}UL;" for label, leaf, value in each.fields]
    for method in each.methods:
        body = known.get(f"{name}::{method}")
        inline = "inline " if body is not None and body[0] == HEADER else ""
        virtual = "" if method in each.plain else "virtual "
        lines.append(f"  {inline}{virtual}unsigned long {method}(unsigned long a0){'' if body else ' = 0'};")
    if each.destructor:
        lines.append(f"  virtual ~{name}() {{}}")
    return "\n".join([*lines, "};"])


def virtual_call(pointer: str, via: str, method: str, argument: str, how: str) -> str:
    """A call of a class's function for the object that *pointer* leads to; *how*: "direct", "led" or neither."""
    it = f"static_cast<{via} *>({pointer})"
    if how == "direct":
        return f"({it})->{via}::{method}({argument})"
    if how == "led":
        return f"led(unknown({it}), &{via}::{method}, {argument})"
    return f"unknown({it})->{method}({argument})"


def made_and_deleted(of: str, via: str, method: str, argument: str) -> str:
    """An object that is made for one call."""
    call = virtual_call("made", via, method, argument, "")
    lines = f"{of} *made = unknown(new {of}); unsigned long told = {call}; delete unknown(made); return told;"
    return f"[&]() -> unsigned long {{ {lines} }}()"
