"""What is to be there after a link besides the patch: the stub object, and the bound copies."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from stubgen.bind import bound_paths, stage_bound
from stubgen.build import Built
from stubgen.common.arguments import StrPath
from stubgen.common.files import Outputs, keep_apart
from stubgen.errors import LinkerFailed
from stubgen.linker import LinkFolder
from stubgen.resolve.resolution import Resolution


class KeptFiles(NamedTuple):
    """What is to be there after the link besides the patch."""

    stub: str | None  # file of the stub object
    copies: str | None  # folder of the bound copies, absolute

    def named(self, name: Callable[[str], str]) -> KeptFiles:
        """The same, the stub object's name being known."""
        return self if self.stub is None else self._replace(stub=name(self.stub))

    def refuse_overwriting(self, target: Path, inputs: Sequence[StrPath], judged: Resolution) -> None:
        """Refuse it, and the patch *target*, where it would overwrite one of *inputs*.

        Raises:
            UsageError: it would.
        """
        copies = bound_paths([image.name for image in judged.needed.images], self.copies) if self.copies else ()
        keep_apart({"output": target, "stub": self.stub}, inputs, copies)

    def seen_by_linker(self, folder: str, format_name: str) -> str:
        """The folder in *folder*, this link's own, for what the linker reads.

        A Mach-O patch names its objects; with *folder* cut off in front, they are those that are kept.
        """
        return f"{folder}{self.copies}" if self.copies and format_name == "macho" else os.path.join(folder, "bound")

    def name_copies(self, built: Built, copies: Sequence[tuple[str, str]], folder: LinkFolder) -> None:
        """People know each of *copies* as where it is kept, or as what it is a copy of."""
        assert built.bound is not None  # noqa: S101  # judged for it
        names = [name for name, _ in copies]
        titles = bound_paths([item.name for item in built.bound.objects], self.copies) if self.copies else names
        for title, (_, copy) in zip(titles, copies, strict=True):
            folder.stands_for(copy, title)

    def stage(self, built: Built, copies: Sequence[tuple[str, str]], outputs: Outputs) -> None:
        """Let it be among the *outputs*; *copies* were linked, and a debugger knows their times."""
        if self.stub is not None:
            outputs.add(self.stub, built.stub.content)
        if self.copies is not None:
            assert built.bound is not None  # noqa: S101  # judged for it
            gone = next((name for name, copy in copies if not os.path.isfile(copy)), None)
            if gone is not None:
                raise LinkerFailed(f"{gone}: the linker removed its copy, which --bound-dir is to keep")
            stage_bound(built.bound, self.copies, outputs, like=[copy for _, copy in copies])
