"""Callers, in the host and in earlier patches, that rely on registers of functions whose calls a table leads elsewhere.

A complete table leads further than to what its patch replaces: code of earlier patches to the newest function, callers
of the host's to an earlier patch's, and both back again after an undo. Each is another pair of functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stubgen.common.files import read_input
from stubgen.common.text import as_bytes
from stubgen.errors import PatchRefusal
from stubgen.generations.opening import refuse_changed
from stubgen.generations.redirections import WORD, Target, key_of, loaded
from stubgen.generations.state import PatchSession
from stubgen.image import Image
from stubgen.image.opening import open_image
from stubgen.registers import Redirected, Reliance, relying_callers
from stubgen.stub.find import find_stubs
from stubgen.symbols.rust import is_rust_name


class Images:
    """The images of a process.

    Args:
        session: as it is with the newest patch's functions.
        known: number of a generation, 0 for the host -> its image.
        strict: a generation whose file is not what was loaded is refused; otherwise nothing is known of it.
    """

    def __init__(self, session: PatchSession, known: Mapping[int, Image], *, strict: bool) -> None:
        self.session = session
        self.strict = strict
        self._known: dict[int, Image | None] = dict(known)

    def of(self, number: int) -> Image | None:
        """The image of that generation; None where nothing is known of it.

        Raises:
            PatchRefusal: it has changed, or is gone.
        """
        if number not in self._known:
            self._known[number] = self._opened(number)
        return self._known[number]

    def _opened(self, number: int) -> Image | None:
        generation = self.session.generations[number - 1]
        try:
            refuse_changed(generation)
        except PatchRefusal:
            if self.strict:
                raise
            return None
        return open_image(read_input(generation.patch), generation.patch)


def relying_in_process(
    images: Images, led: Iterable[tuple[int, int, Target]], objects: Sequence[Image]
) -> Iterator[Reliance]:
    """As :func:`~stubgen.registers.relying_callers`, of functions anywhere whose callers are led elsewhere.

    Args:
        images: the process's.
        led: key in the table, function of the session, and where its callers are led.
        objects: the newest patch's; their debug information declares functions, as that of the patches does.

    Yields:
        Rows whose ``old`` and ``address`` are like keys of the table.
    """
    session = images.session
    places = dict(_places(session))
    rust = {number for number, one in enumerate(session.functions) if is_rust_name(as_bytes(one.name))}
    redirected: dict[int, list[Redirected]] = {}
    for key, function, target in led:
        place = places.get(key)
        if place is None or place == target or function in rust:
            continue
        number, address = place
        patches = [image for each in {number, target.generation} - {0} if (image := images.of(each)) is not None]
        to = images.of(target.generation)
        if to is not None and images.of(number) is not None:
            row = Redirected(address, target.address, to, [*objects, *patches])
            redirected.setdefault(number, []).append(row)
    for number, rows in redirected.items():
        image = images.of(number)
        by_llvm = image is not None and image.compiled_by_llvm and not any(each.compiled_by_gcc for each in objects)
        if image is not None and not by_llvm:
            stubs = find_stubs(image) if number else ()
            shift = key_of(session, session.generations[number - 1], 0) if number else 0
            yield from (_moved(one, shift) for one in relying_callers(image, rows, stubs))


def _places(session: PatchSession) -> Iterator[tuple[int, Target]]:
    """Key in a table -> the generation that has a function there, 0 for the host, and its static address."""
    for function in session.functions:
        yield from ((address, Target(0, address)) for address in function.host)
    for generation in loaded(session):
        for place in generation.places:
            yield key_of(session, generation, place.address), Target(generation.number, place.address)


def _moved(one: Reliance, shift: int) -> Reliance:
    """*one* of a patch, with addresses that are like keys."""
    return one._replace(old=(one.old + shift) % WORD, address=(one.address + shift) % WORD)
