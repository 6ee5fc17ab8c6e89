"""Opens a session for the next generation, or begins one; what cannot be right is refused before anything is linked."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from stubgen.common.aarch64 import ADDRESS_LIMIT, UNTAGGED
from stubgen.common.arguments import StrPath
from stubgen.common.files import Outputs, read_input
from stubgen.common.row import Row
from stubgen.errors import AnchorRefusal, BuildIdRefusal, InputError, PatchRefusal, UsageError
from stubgen.generations.lock import lock_session
from stubgen.generations.redirections import Targets, holding, in_process, runtime_address, targets_after
from stubgen.generations.relinking import KeptObject, digest_of, relinked_units, units_after, units_of
from stubgen.generations.state import (
    Fate,
    Generation,
    PatchSession,
    SessionAnchor,
    SessionHost,
    Unit,
    encode_session,
    read_session,
)
from stubgen.generations.telling import remove_unnamed, telling
from stubgen.host import Host
from stubgen.host.previous import PreviousPatch
from stubgen.host.slide import Slide
from stubgen.image.opening import open_image

NEW = "begin a new session with --new-session"


class SessionOptions(Row):
    """Which session a patch is of, and what is known of the one before it."""

    path: StrPath
    """The session's file."""
    loaded: int | None = None
    """Runtime address of the anchor in the newest generation."""
    relink_earlier: bool = False
    """Link the objects of earlier generations again, wherever those were loaded."""
    new: bool = False
    """Begin anew, whatever the file holds."""
    pid: int | None = None
    """The process; where it was given before, it must be that one."""


class Begun(Row):
    """A session that is about to have one more generation; nobody else has it meanwhile."""

    path: str
    session: PatchSession
    number: int  # of the generation to come
    targets: Targets  # where callers are led now
    holding: tuple[Generation, ...]  # which count as earlier patches
    previous: tuple[PreviousPatch, ...]  # the same for the builder
    units: tuple[Unit, ...]  # the patch's objects, and those of earlier generations that are linked again
    relinked: tuple[Unit, ...]  # the latter alone

    @property
    def forwarded(self) -> list[int]:
        """The addresses in the process to which the next patch may have to lead."""
        session = self.session
        if session.relink_earlier:
            return []
        places = dict.fromkeys(self.targets.values())
        return sorted({runtime_address(session, target) for target in places})


def begin(
    outputs: Outputs,
    wanted: SessionOptions,
    host: Host,
    slide: Slide,
    objects: Sequence[str],
    *,
    kept: Mapping[str, KeptObject],
    keep_state: bool,
) -> Begun:
    """Open the session, or begin one, until *outputs* are in their places.

    Args:
        outputs: what is written; the session is locked for as long.
        wanted: which session.
        host: the program.
        slide: by its anchor.
        objects: of the patch to come.
        kept: where some of them will be later.
        keep_state: whether the host's variables are used from now on; what a session once does it goes on with.

    Raises:
        BuildIdRefusal: the host was rebuilt since.
        AnchorRefusal: the process is another one.
        PatchRefusal: it is not known what became of the last generation, a file of an earlier one has changed, or
            another command has the session.
        InputError: the session file is broken or another user's.
        UsageError: the anchor is not known.
    """
    path = os.fspath(wanted.path)
    if slide.anchor is None:
        raise UsageError("a session needs the anchor: give its runtime address instead of the slide")
    outputs.until_done(lock_session(path))
    running = _told_by(host)
    anchor = SessionAnchor(slide.anchor, slide.static_address, slide.runtime_address)
    found = None if wanted.new or not os.path.exists(path) else read_session(path)
    if found is not None:
        remove_unnamed(path, found)
    if found is not None and _took_nothing(found, wanted) and _is_another(found, running, anchor, wanted.pid):
        found = None
    if found is None:
        if wanted.loaded is not None:
            raise UsageError("--loaded says where the newest patch of the session is, and a new session has none")
        session = PatchSession(os.urandom(16).hex(), running, anchor, wanted.pid, wanted.relink_earlier, keep_state)
    else:
        session = found
        _refuse_another(path, session, running, anchor, wanted.pid)
        session = session._replace(
            pid=session.pid if wanted.pid is None else wanted.pid,
            relink_earlier=session.relink_earlier or wanted.relink_earlier,
            keep_state=session.keep_state or keep_state,
        )
        if wanted.loaded is not None:
            session = mark_loaded(path, session, wanted.loaded)
    _refuse_unknown(path, session)
    number = len(session.generations) + 1
    targets = targets_after(session, number)
    if session.relink_earlier:
        units, relinked = relinked_units(session, objects, kept, number)
        return Begun(path, session, number, targets, (), (), (*units, *relinked), relinked)
    earlier = tuple(holding(session))
    for generation in earlier:
        refuse_changed(generation)
    previous = [
        PreviousPatch(
            each.patch,
            each.first_address + (each.slide or 0),
            variables=each.variables,
            objects=list(telling(path, each)),
        )
        for each in earlier
    ]
    return Begun(path, session, number, targets, earlier, tuple(previous), units_of(objects, kept, number), ())


def patches_in_process(wanted: SessionOptions) -> tuple[list[str], frozenset[str]]:
    """The files of the patches that the process of the session *wanted* has, and the names of their units.

    A session that is about to begin has none.

    Raises:
        StubgenError: as :func:`begin` does, of the session file and of ``loaded``.
    """
    path = os.fspath(wanted.path)
    if wanted.new or not os.path.exists(path):
        return [], frozenset()
    session = read_session(path)
    if wanted.loaded is not None:
        session = mark_loaded(path, session, wanted.loaded)
    session = session._replace(relink_earlier=session.relink_earlier or wanted.relink_earlier)
    files = [generation.patch for generation in in_process(session)]
    return files, frozenset(units_after(session, len(session.generations)))


def stage_session(outputs: Outputs, path: str, session: PatchSession) -> None:
    """Let *session* be in the file *path*, among the *outputs*."""
    outputs.add(path, encode_session(session))


def _told_by(host: Host) -> SessionHost:
    identity = host.identity
    return SessionHost(os.path.abspath(host.path), f"{identity.kind_name or 'unknown build'} {identity.value.hex()}")


def _took_nothing(session: PatchSession, wanted: SessionOptions) -> bool:
    """Whether nobody has said that the process has a patch of *session*."""
    return wanted.loaded is None and all(each.fate is not Fate.LOADED for each in session.generations)


def _is_another(session: PatchSession, host: SessionHost, anchor: SessionAnchor, pid: int | None) -> bool:
    """Whether the process of *session* is another one, or was told by a wrong anchor; of the same build."""
    if host.identity != session.host.identity:
        return False
    return anchor != session.anchor or (None not in (pid, session.pid) and pid != session.pid)


def _refuse_another(
    path: str, session: PatchSession, host: SessionHost, anchor: SessionAnchor, pid: int | None
) -> None:
    """Refuse a host that was built anew, and a process that is another one."""
    if host.identity != session.host.identity:
        raise BuildIdRefusal(
            f"{path}: is a session of a host with {session.host.identity}, and {host.path} has {host.identity}: the "
            f"host was rebuilt; start it and {NEW}"
        )
    if anchor != session.anchor:
        raise AnchorRefusal(
            f"{path}: is a session of the process with {session.anchor.name} at "
            f"{session.anchor.runtime_address:#x}, and {anchor.name} at {anchor.runtime_address:#x} is another's: the "
            f"process was started again; {NEW}"
        )
    if None not in (pid, session.pid) and pid != session.pid:
        raise AnchorRefusal(
            f"{path}: is a session of process {session.pid}, not of {pid}: the process was started again; {NEW}"
        )


def _refuse_unknown(path: str, session: PatchSession) -> None:
    """Refuse to go on where nobody has said whether the process has the last patch."""
    last = session.generations[-1] if session.generations else None
    if last is not None and last.fate is Fate.LINKED and not session.relink_earlier:
        raise PatchRefusal(
            f"{path}: nobody has said what became of generation {last.number}: say where the process has its "
            f"{session.anchor.name}, with --loaded ADDRESS or session {path} loaded ADDRESS, or that it is not there, "
            f"with session {path} not-loaded, or link earlier objects again with --relink-earlier; if the process was "
            f"started again, {NEW}"
        )


def refuse_changed(generation: Generation) -> None:
    """Refuse to build on a patch whose file is no longer what was loaded.

    Raises:
        PatchRefusal: it has changed, or is gone.
        InputError: it is there, and cannot be read.
    """
    try:
        same = digest_of(generation.patch) == generation.digest
        why = "has changed since"
    except InputError:
        if os.path.exists(generation.patch):
            raise
        same, why = False, "is gone"
    if not same:
        raise PatchRefusal(
            f"{generation.patch}: the file of generation {generation.number}, which the process has loaded, {why}: "
            f"restore it and give each patch a path of its own, as -o 'patch-{{generation}}.so' does, or link "
            f"earlier objects again with --relink-earlier"
        )


def mark_loaded(path: str, session: PatchSession, address: int, number: int | None = None) -> PatchSession:
    """*session*, knowing that the process has the anchor of generation *number* at *address*; the newest by default.

    Raises:
        UsageError: there is no such generation.
        AnchorRefusal: the anchor cannot be there.
        PatchRefusal: its file has changed, or it was said before to be elsewhere.
    """
    generation = generation_of(path, session, number)
    refuse_changed(generation)
    page_size = open_image(read_input(generation.patch), generation.patch).page_size
    place = address & UNTAGGED
    slide = place - generation.anchor
    if slide <= 0 or slide % page_size or place >= ADDRESS_LIMIT:
        raise AnchorRefusal(
            f"{generation.patch}: {session.anchor.name} cannot be at {address:#x}: a library lies a whole number of "
            f"pages of {page_size:#x} bytes above its addresses in the file, where {session.anchor.name} is at "
            f"{generation.anchor:#x}"
        )
    if generation.slide not in (None, slide):
        raise PatchRefusal(
            f"{path}: generation {generation.number} was said to have {session.anchor.name} at "
            f"{generation.anchor + (generation.slide or 0):#x}, not at {address:#x}"
        )
    other = next((each for each in session.generations if each.slide == slide and each != generation), None)
    if place == session.anchor.runtime_address or other is not None:
        whose = f"generation {other.number}'s" if other is not None else "the host's own"
        raise AnchorRefusal(
            f"{path}: {address:#x} is {whose} {session.anchor.name}, not generation {generation.number}'s"
        )
    return _replaced(session, generation._replace(fate=Fate.LOADED, slide=slide))


def mark_not_loaded(path: str, session: PatchSession, number: int | None = None) -> PatchSession:
    """*session*, knowing that the process does not have generation *number*; the newest by default.

    Raises:
        UsageError: there is no such generation.
        PatchRefusal: it was said to be loaded.
    """
    generation = generation_of(path, session, number)
    if generation.fate is Fate.LOADED:
        raise PatchRefusal(
            f"{path}: generation {generation.number} was said to be loaded, and later ones may use it: undo it with "
            f"session {path} undo --to {generation.number - 1}"
        )
    return _replaced(session, generation._replace(fate=Fate.NOT_LOADED))


def generation_of(path: str, session: PatchSession, number: int | None) -> Generation:
    """Generation *number* of *session*; the newest by default.

    Raises:
        UsageError: there is none.
    """
    count = len(session.generations)
    if not count or not 1 <= (count if number is None else number) <= count:
        raise UsageError(f"{path}: has {count or 'no'} generations{'' if number is None else f', and no {number}'}")
    return session.generations[-1 if number is None else number - 1]


def _replaced(session: PatchSession, generation: Generation) -> PatchSession:
    generations = list(session.generations)
    generations[generation.number - 1] = generation
    return session._replace(generations=tuple(generations))


def now() -> float:
    """Seconds since 1970."""
    return round(time.time(), 3)
