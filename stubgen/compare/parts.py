"""What an object is made of, in one vocabulary for both formats: parts, and what the fields in them refer to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import Enum

from stubgen.common.row import Row
from stubgen.compare.fields import Form
from stubgen.image import Image, Kind


class Sort(Enum):
    """What a part is."""

    FUNCTION = "function"
    CONSTANT = "constant"
    VARIABLE = "variable"
    THREAD_LOCAL = "thread-local"


class Part(Row):
    """A run of an object's bytes that the linker moves as one: what a symbol covers, a string, or a whole section."""

    object: int  # which one of those that are compared
    section: int  # number or ordinal
    start: int  # byte offset into the section
    size: int  # bytes
    sort: Sort
    names: tuple[bytes, ...]  # without versions; none where no symbol covers it
    local: bool  # not visible in other objects


class Target(Row):
    """What a field refers to."""

    name: bytes  # of a symbol that the object does not define; empty where *part* says it
    part: Part | None
    offset: int  # bytes from its start
    by_section: bool = False  # it is named by its section or an anchor there: code may reach its neighbours from it


class Use(Row):
    """A field of a part."""

    at: int  # byte offset into the part
    form: Form
    target: Target
    base: int = 0  # RELATIVE*: bytes from the field to what its value counts from


class ObjectParts(ABC):
    """An object, by the part."""

    @abstractmethod
    def functions(self) -> Sequence[Part]:
        """The functions that it defines, ascending, each once however many names it has."""

    @abstractmethod
    def all(self) -> Iterable[Part]:
        """What its symbols cover."""

    def names(self) -> set[bytes]:
        """The names of what it defines, and of what that refers to."""
        found: set[bytes] = set()
        for part in self.all():
            found.update(part.names)
            found.update(use.target.name for use in self.uses(part) or () if use.target.part is None)
        return found

    @abstractmethod
    def commons(self) -> Iterable[bytes]:
        """The names of what it defines tentatively, which lies in none of its sections; its code refers to the name."""

    @abstractmethod
    def content(self, part: Part) -> memoryview:
        """Its bytes; none where it is zeroes."""

    @abstractmethod
    def uses(self, part: Part) -> Sequence[Use] | None:
        """Its fields, ascending; None where one is of a form that cannot be read back."""

    def initial_value(self, part: Part) -> Part:
        """What a variable begins with: *part*, where that is not the descriptor of a thread-local."""
        return part

    @abstractmethod
    def attached(self, part: Part) -> Iterable[Part]:
        """What belongs to a function without being referred to by it: its exception table."""

    def descriptor(self, _name: bytes) -> Part | None:
        """What code reaches the object's thread-local of that name through; ELF has none."""
        return None

    @abstractmethod
    def unreferenced(self) -> Iterable[Part]:
        """What counts without being referred to: sections of pointers to constructors, entries of linker sets.

        Those are all sections of data but the ones into which compilers put what code refers to.
        """

    @abstractmethod
    def neighbours(self, part: Part) -> Sequence[Part]:
        """Variables that code may reach from *part* by their distance alone: those of its section."""


class Imported(Row):
    """What a library of the host supplies."""

    name: bytes
    offset: int = 0  # bytes from its start


class HostPlaces(ABC):
    """The host, as far as its fields lead."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._found: dict[bytes, list[tuple[int, int]]] = {}
        self._imports: set[bytes] = set()

    def learn(self, names: Iterable[bytes]) -> None:
        """Look *names* up, all in one pass."""
        wanted = {name for name in names if name not in self._found}
        found = self.image.find(wanted) if wanted else {}
        for name in wanted:
            candidates = found.get(name, [])
            self._found[name] = sorted({(one.address, one.size) for one in candidates if one.kind is not Kind.IMPORT})
            if any(one.kind is Kind.IMPORT for one in candidates):
                self._imports.add(name)

    def addresses(self, name: bytes) -> Sequence[tuple[int, int]]:
        """Where the symbols of that name are: (virtual address, bytes or 0 where the format does not say)."""
        self.learn([name])
        return self._found[name]

    def also(self, name: bytes, addresses: Iterable[int]) -> None:
        """Let *name* be at *addresses* as well, outside of this file: what its pointers hold of other files' names."""
        self.learn([name])
        self._found[name] = sorted({*self._found[name], *((address, 0) for address in addresses)})

    def has_import(self, name: bytes) -> bool:
        """Whether a library of the host supplies *name*."""
        self.learn([name])
        return name in self._imports

    def behind(self, address: int) -> int | Imported:
        """Where a branch to virtual *address* ends: behind a PLT's entry or a linker's veneer, else there."""
        for _ in range(3):  # a veneer may lead to a PLT's entry
            step = self.step(address)
            if step is None or isinstance(step, Imported):
                return address if step is None else step
            address = step
        return address

    @abstractmethod
    def step(self, address: int) -> int | Imported | None:
        """Where the PLT's entry or veneer at virtual *address* leads; None if it is none."""

    @abstractmethod
    def read(self, address: int, size: int) -> memoryview | None:
        """*size* bytes at virtual *address*; None where the file has none."""

    def initial_value(self, address: int) -> tuple[int, int | None]:
        """Virtual address of what the variable at virtual *address* begins with, and how many bytes that has at most.

        None: nothing tells.
        """
        return address, self.image.maximum_size(address)

    @abstractmethod
    def pointer(self, address: int) -> int | Imported | None:
        """What the pointer at virtual *address* holds once it is loaded: a virtual address or an import."""

    @abstractmethod
    def holders(self, wanted: Collection[int], names: Collection[bytes]) -> Iterator[tuple[int, int | bytes]]:
        """Where pointers will hold one of the virtual addresses *wanted*, or what the loader finds for one of *names*.

        And which.
        """

    @abstractmethod
    def thread_entry(self, address: int) -> int | None:
        """The symbol value of the thread-local whose descriptor or distance the GOT entry at *address* is."""

    @property
    @abstractmethod
    def thread_start(self) -> int:
        """Bytes from the thread pointer to the thread-local of symbol value 0."""

    @abstractmethod
    def thread_template(self, value: int, size: int) -> int | None:
        """Virtual address of the initial *size* bytes of the thread-local of symbol *value*; None for zeroes."""

    @abstractmethod
    def attached(self, address: int) -> Sequence[int]:
        """Where what belongs to the function at *address* is, as in :meth:`ObjectParts.attached`."""
