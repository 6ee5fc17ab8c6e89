"""The resolve phase: what each needed symbol becomes, and why.

Every needed symbol gets exactly one verdict. Those that become stubs are kept as columns; a
:class:`Decision` is made for a person who asks. What data and thread-locals become depends on what the patch is linked
from: its objects as they are, where only stubs can answer, or bound copies of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from stubgen.errors import InputError
from stubgen.host import Host
from stubgen.host.slide import Slide
from stubgen.resolve.needed import Needed
from stubgen.resolve.resolution import Resolution
from stubgen.resolve.rulings import Ruled
from stubgen.resolve.verdicts import (
    Answers,
    BoundAnswers,
)


def resolve(
    needed: Needed,
    host: Host,
    slide: Slide,
    answers: Answers | BoundAnswers | None = None,
    *,
    supplied: Mapping[bytes, str] | None = None,
    overrides: Mapping[bytes, int] | None = None,
    rulings: Mapping[bytes, Ruled] | None = None,
) -> Resolution:
    """Judge every needed symbol.

    Args:
        needed: what the patch needs.
        host: the running program.
        slide: how far the loader moved it.
        answers: how the caller wants symbols answered; a :class:`BoundAnswers` if from bound copies.
        supplied: names that shared libraries on the patch's own link line export, each with its library.
        overrides: name -> runtime address of the function that replaced the host's, from earlier patches.
        rulings: spelling -> what a policy says of it, instead of what the host would.

    Raises:
        InputError: patch and host are of different formats, or for different Apple platforms.
        AnchorRefusal: a runtime address would be at or above 2^48.
    """
    _check_same_target(needed, host)
    question = (needed, host, slide, supplied or {}, overrides or {}, rulings or {})
    if isinstance(answers, BoundAnswers):
        from stubgen.resolve.for_copies import BoundResolver

        return BoundResolver(*question, answers).run()
    from stubgen.resolve.for_objects import StubResolver

    return StubResolver(*question, answers or Answers()).run()


def _check_same_target(needed: Needed, host: Host) -> None:
    if needed.format != host.image.format:
        titles = {"elf": "an ELF", "macho": "a Mach-O"}
        raise InputError(
            f"{needed.inputs[0]}: is {titles[needed.format]} object, "
            f"but the host {host.path} is {titles[host.image.format]} file"
        )
    wanted = host.image.build_version
    for platform in needed.platforms:
        if wanted is not None and platform.platform != wanted.platform:
            from stubgen.macho.constants import PLATFORM_NAMES

            raise InputError(
                f"{needed.inputs[0]}: a patch object is for {PLATFORM_NAMES.get(platform.platform, platform)}, "
                f"but the host {host.path} is for {PLATFORM_NAMES.get(wanted.platform, wanted)}"
            )
