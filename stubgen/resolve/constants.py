"""Which of the patch's constants are the host's: those that nothing but their address tells from it.

An address is an identity. libc++ compares types by the address of their names, libstdc++ those of anonymous namespaces;
programs have sentinels that are compared by address. So a constant that patch and host both define, and that has the
same bytes and points to the same things, is the host's: whoever reads it reads the same. What it points to must be
the host's in both: something that the patch leaves to the host, or another such constant. A vtable points to functions,
and those that the patch defines are its own; so such a vtable is the patch's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from stubgen.errors import MalformedInput
from stubgen.image import Candidate, Content, Image, Kind, Pointer, Variable
from stubgen.resolve.candidates import counterparts_of
from stubgen.resolve.keep_state import Pair, reason_own_constant
from stubgen.resolve.same_file import Files


class Constants:
    """The constants that patch and host both define.

    Args:
        images: the patch's objects.
        variables: name -> the patch's variables of that name.
        found: name -> the host's symbols of that name, for those and for all that the patch refers to.
        files: the host's files.
        elsewhere: names that mean something else than the loader finds for the host: what an earlier patch replaced.
    """

    def __init__(
        self,
        images: Sequence[Image],
        variables: Mapping[bytes, Sequence[Variable]],
        found: Mapping[bytes, Sequence[Candidate]],
        files: Files,
        elsewhere: Collection[bytes] = (),
    ) -> None:
        self.elsewhere = elsewhere
        self.variables = variables
        self.found = found
        self.files = files
        self.host = files.host
        self._places: dict[bytes, int | None] = {}
        self._contents: dict[bytes, list[Content]] = {}
        names = {name for name, same in variables.items() if not same[0].writable and self._candidates(name)}
        for image in images if names else ():
            for content in image.contents(names):
                self._contents.setdefault(content.name, []).append(content)

    def place(self, name: bytes) -> int | None:
        """Static address of the host's constant that is the patch's *name*; None if that is the patch's own."""
        if name not in self._places:
            self._places[name] = None  # what points to itself is not looked into
            self._places[name] = self._judge(name)
        return self._places[name]

    def _candidates(self, name: bytes) -> Sequence[Candidate]:
        found = [c for c in self.found.get(name, ()) if c.name == name and c.kind is Kind.DATA]
        return counterparts_of(self.variables[name][0], found)

    def _judge(self, name: bytes) -> int | None:
        contents, variables, candidates = self._contents.get(name, []), self.variables[name], self._candidates(name)
        if len(contents) != len(variables) or any(variable.writable for variable in variables):
            return None
        if reason_own_constant(Pair(variables, candidates, self.files)):
            return None
        address = candidates[0].address
        return address if all(self._is_alike(content, address) for content in contents) else None

    def _is_alike(self, content: Content, address: int) -> bool:
        """Whether the host has *content* at virtual *address*."""
        if content.opaque or not content.raw:
            return False
        try:
            theirs = bytearray(self.host.read_at(address, len(content.raw), "a constant"))
            own = bytearray(content.raw)
            for offset, pointer in content.pointers.items():
                own[offset : offset + 8] = theirs[offset : offset + 8]
                if not self._points_alike(pointer, address + offset):
                    return False
        except MalformedInput:  # it has no bytes there
            return False
        return own == theirs

    def _points_alike(self, pointer: Pointer, address: int) -> bool:
        """Whether the host's word at virtual *address* is the address that *pointer* means."""
        word = self.host.word_at(address)
        if word is None or not pointer.name:
            return False
        if pointer.own:
            place = self.place(pointer.name) if pointer.name in self.variables else None
            places = set() if place is None else {place}
        else:
            places = {c.address for c in self.found.get(pointer.name, ()) if c.kind is not Kind.IMPORT}
        if word.name:
            if not pointer.own and pointer.name in self.elsewhere:
                return False
            return word == (pointer.name, pointer.addend) and (bool(places) or not pointer.own)
        return {place + pointer.addend for place in places} == {word.value}
