"""Functions that the host had and has no code of: link-time optimisation left nothing of them by their names.

What a link inlined wherever it is called, or worked out (``scale(2)`` became 6), is replaced by nothing: whatever used
it goes on with what it has. The objects of the link tell who that is, if they are there: the tables that GCC's and
LLVM's linker plugins read name what each defines and refers to. Debug information tells of inlined copies, and what
the host's sources had. A function that no other file used counts as new: all that knew the old one is in the patch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from stubgen.common.row import Row
from stubgen.common.text import as_text, told_apart
from stubgen.errors import StubgenError
from stubgen.image import Image
from stubgen.image.intermediate import IntermediateNames, names_in_members, names_in_objects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stubgen.borrow.homes import LinkFiles

_AS_WELL = "let the patch have"


class HostsLink(Row):
    """What is known of the host's link."""

    objects: Sequence[str] = ()
    """The paths of the objects that it named."""
    files: Callable[[], LinkFiles] | None = None
    """Finds its archives."""


class WithoutCode(Row):
    """Why nothing leads what used a function in the host to the patch."""

    reason: str
    users: tuple[str, ...] = ()
    """The objects of the host's link that did, and that the patch has nothing of; none where they are not known."""


def without_code(
    names: Collection[bytes], host: Image, link: HostsLink, functions: Collection[bytes], defined: Collection[bytes]
) -> dict[bytes, WithoutCode]:
    """Those of *names* that the host had, and that something goes on without, and why nothing leads that to the patch.

    Args:
        names: functions of the patch that other files see, and that the host has under no name.
        host: its image.
        link: what it was linked from.
        functions: the patch's functions, which are replaced with them.
        defined: what the patch's objects define for other files. An object of the host's that has one of those is an
            old self of theirs.
    """
    if not names:
        return {}
    objects, complete = _compiled_at_link(link)
    homes = {name for said in objects.values() for name in said.seen.intersection(names)}
    called, found = told_apart(list(objects)), {}
    for name, paths in _users(homes, objects, defined).items():
        titles = tuple(called[path] for path in paths)
        found[name] = WithoutCode(went_on_without(titles), titles)
    inlined = _inlined([name for name in names if name not in found], host, functions)
    found |= {name: WithoutCode(reason) for name, reason in inlined.items()}
    unknown = [name for name in names if name not in found and not (complete and name in homes)]
    described = host.functions_without_code(unknown) if unknown else ()
    return found | {name: WithoutCode(DESCRIBED) for name in unknown if name in described}


def _inlined(names: Sequence[bytes], host: Image, functions: Collection[bytes]) -> dict[bytes, str]:
    """Of which debug information says where they are inlined; not where all those are in the patch as well."""
    prefix = b"_" if host.format == "macho" else b""
    found: dict[bytes, str] = {}
    if not names:
        return found
    for name, copies in host.inlined_copies(dict.fromkeys(names, ())).items():
        others = dict.fromkeys(into.function for into in copies)
        strangers = [as_text(other) for other in others if prefix + other not in functions]
        if strangers:
            found[name] = (
                f"the host has it inlined alone, in {', '.join(strangers)}, which goes on with what it has: {_AS_WELL} "
                f"the files of these as well"
            )
    return found


def _compiled_at_link(link: HostsLink) -> tuple[dict[str, IntermediateNames], bool]:
    """The objects and archives' members of *link* that the linker compiled; and whether nothing is unknown."""
    known = names_in_objects(link.objects)
    complete = link.files is not None
    try:
        files = link.files() if link.files is not None else None
    except StubgenError:  # whatever needs the archives says it
        files, complete = None, False
    if files is not None:
        known |= names_in_members(files.libraries)
        complete = not files.gone
    return {title: said for title, said in known.items() if said is not None}, complete and None not in known.values()


def _users(
    names: Collection[bytes], objects: dict[str, IntermediateNames], defined: Collection[bytes]
) -> dict[bytes, list[str]]:
    """Which of *objects* that are not the patch's use each of *names*."""
    found: dict[bytes, list[str]] = {}
    for path, said in objects.items():
        if (said.seen - said.weak).isdisjoint(defined):
            for name in said.used.intersection(names):
                found.setdefault(name, []).append(path)
    return found


def went_on_without(users: Sequence[str], *, several: bool = False) -> str:
    """Why a function is left out, or *several* are, that *users* used, which are objects of the host's link."""
    name, it = ("those names", "them") if several else ("that name", "it")
    goes, these = ("goes", "that file") if len(users) == 1 else ("go", "those files")
    return (
        f"link-time optimisation left the host nothing of {name}, and {', '.join(users)}, which used {it}, {goes} on "
        f"with what was made of {it} there: {_AS_WELL} {these} as well"
    )


DESCRIBED = (
    "debug information says that the host had it, and link-time optimisation left nothing of that name: what used it "
    f"goes on with what was made of it there, so {_AS_WELL} the files that did as well"
)
"""Why a function is left out of whose users nothing is known."""
