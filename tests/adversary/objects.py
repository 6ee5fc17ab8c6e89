"""Objects of a running program: whose virtual table each has, and which function a call means for it.

An object has the table of the code that made it: that of the newest file with the class's first virtual function that
is not inline, or, where all are, of the file that made it. What has the table decides what its entries lead to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from adversary.classes import fields_of, is_plain, key_file, method_of, overrider

if TYPE_CHECKING:
    from adversary.interpret import Instance, Machine

Storage = tuple[str, str, int]
"""File, variable and generation of what is in memory."""


class WrongObjectError(Exception):
    """Code reads a field, or calls a function, that the object it was given does not have."""


class Table(NamedTuple):
    """The virtual table of an object."""

    of: str
    file: str
    generation: int


class Objects:
    """The objects of a process.

    Args:
        machine: the process.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._tables: dict[Storage, Table] = {}
        self._cells: dict[Storage, dict[str, int]] = {}
        self._made = 0

    def begin(self, storage: Storage, of: str, file: str, generation: int) -> None:
        """Code of a file in a generation made an object of the class *of* there."""
        program = self._machine.generations[generation].program
        home = key_file(program, of)
        where = (home, self._machine.latest(home, generation)) if home else (file, generation)
        self._tables[storage] = Table(of, *where)
        self._cells[storage] = {name: cell for cell, (name, _, _) in enumerate(fields_of(program, of))}

    def make(self, of: str, file: str, generation: int) -> Storage:
        """Likewise with ``new``."""
        self._made += 1
        storage = "", f"new.{self._made}", 0
        self.begin(storage, of, file, generation)
        fields = fields_of(self._machine.generations[generation].program, of)
        self._machine.memory[storage] = [leaf.stored(value) for _, leaf, value in fields]
        return storage

    def cell(self, storage: Storage, field: str) -> int:
        """Where the object has a field."""
        if field not in self._cells[storage]:
            raise WrongObjectError(f"{field} of an object of {self._tables[storage]}")
        return self._cells[storage][field]

    def function(self, storage: Storage, caller: Instance, via: str, method: str) -> Instance:
        """What a virtual call means, by a pointer to the class *via*."""
        program = self._machine.generations[caller.generation].program
        if is_plain(program, via, method):
            return self.named(caller, via, method)
        table = self._tables[storage]
        program = self._machine.generations[table.generation].program
        owner = overrider(program, table.of, method)
        if not owner:
            raise WrongObjectError(f"{method} of an object of {table}")
        return self._machine.function(table.file, f"{owner}::{method}", table.generation)

    def named(self, caller: Instance, of: str, method: str) -> Instance:
        """What a call by the name of the class means."""
        program = self._machine.generations[caller.generation].program
        name = f"{overrider(program, of, method)}::{method}"
        return self._machine.function(caller.file, name, caller.generation)


def field_name(machine: Machine, instance: Instance, field: int) -> str:
    """The field that a class's function *instance* has as number *field* of its own object."""
    program = machine.generations[instance.generation].program
    return fields_of(program, method_of(instance.name)[0])[field][0]
