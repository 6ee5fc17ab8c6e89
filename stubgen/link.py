"""The whole path in one call: build the stubs, plan the link, run the linker, check the patch."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from stubgen.bind import write_bound
from stubgen.build import Built, StubBuilder, describe, refuse_problems
from stubgen.capture import Capture
from stubgen.check import Checked, check_linked, refuse_findings
from stubgen.common.arguments import StrPath, choice, instance, optional, path, path_list
from stubgen.common.cancellation import checkpoint, run
from stubgen.common.files import cannot_be_written, read_input, write_output
from stubgen.errors import InputError, LinkerFailed, PatchRefusal, UsageError
from stubgen.image.opening import open_image
from stubgen.linkplan import (
    LinkPlan,
    PatchRequest,
    captured_objects,
    linker_os_for_host,
    plan_link,
    wrapped_symbols,
)
from stubgen.linkplan.link_files import link_files
from stubgen.linkplan.map_option import ZIG_VERBOSE, library_folders, library_query, map_option, told_by_zig
from stubgen.linkplan.own_folders import own_folders
from stubgen.options import BtiPolicy, Options, read_options
from stubgen.origin.account import Inputs, LinkInput
from stubgen.origin.sources import Source
from stubgen.replaced import Replaced, replaced_by, replaced_in
from stubgen.resolve.needed import open_objects
from stubgen.resolve.verdicts import Decision, Verdict


@dataclass(frozen=True, slots=True)
class Linked:
    """A linked and checked patch, and how it came about."""

    output: Path
    built: Built
    plan: LinkPlan
    command: tuple[str, ...]
    """What was run, in ``plan.directory``."""
    messages: str
    """What the linker printed; warnings, when it succeeded."""
    checked: Checked
    replaced: Replaced
    """The host's functions that the patch defines anew."""
    replaced_in_previous: tuple[tuple[str, Replaced], ...]
    """The path of each earlier patch, and those of its functions."""

    @property
    def replaces(self) -> dict[str, int]:
        """Those that other files call by their name -> virtual address in the patch: the override map."""
        return self.replaced.by_name


def link_patch(
    builder: StubBuilder,
    captured: Capture,
    objects: Sequence[StrPath],
    output: StrPath,
    aslr_reference: int | None = None,
    *,
    bti: BtiPolicy | str = BtiPolicy.AUTO,
    extra: Sequence[StrPath] = (),
    stub: StrPath | None = None,
    bound_dir: StrPath | None = None,
    **options: Unpack[Options],
) -> Linked:
    """Link a patch that is sound, from bound copies of its objects; the output appears only when it is.

    Symbols that the host lacks are left to the linker's own libraries, and the check after the link says
    whether one of them has them.

    Args:
        builder: the host, opened.
        captured: the link of the host, as the capture recorded it.
        objects: the patch's objects and archives.
        output: the patch to write.
        aslr_reference: as in :meth:`StubBuilder.build`, and so is *bti*.
        bti: see there.
        extra: further inputs for the link, before the objects.
        stub: where to keep the stub object; by default it is gone after the link.
        bound_dir: where to keep the bound copies; a Mach-O patch with debug information names them, so that
            without it two links differ and a debugger finds nothing.
        options: see :class:`~stubgen.options.Options`; ``bind`` is always on, and cannot be turned off.

    Raises:
        LinkerFailed: the linker could not be run or ended with an error; the message has its output, and so has
            ``output``.
        Cancelled: the caller's :class:`~stubgen.common.cancellation.Cancellation` was called off.
        PatchRefusal: the linked patch is not sound.
        StubgenError: whatever the phases before the link raise.
    """
    instance(StubBuilder, "StubBuilder(host)", "builder", builder)
    instance(Capture, "newest_capture", "captured", captured)
    # Beside what a symbolic link leads to, so that it can be moved there.
    target = Path(os.path.realpath(path("output", output)))
    inputs, further = path_list("objects", objects), path_list("extra", extra)
    kept_stub, kept_copies = optional(path, "stub", stub), optional(path, "bound_dir", bound_dir)
    if options.setdefault("bind", True) is not True:
        raise UsageError("link_patch links bound copies of the objects, always: leave out bind")
    wanted = read_options("link_patch", options)
    policy = choice(BtiPolicy, "bti", bti)
    full_link, system = captured.command(), linker_os_for_host(builder.host.path)
    options["wrapped"] = list(dict.fromkeys([*wanted.wrapped, *wrapped_symbols(full_link, system)]))
    folders = own_folders(full_link, system)
    objects_of_host = [*wanted.linked, *captured_objects(full_link, system)]
    options["linked"] = objects_of_host
    judged = builder.judge(inputs, aslr_reference, link=lambda: link_files(full_link, system), **options)
    refuse_problems(judged, allow_missing=True)
    built = builder.emit(judged, bti=policy)
    checkpoint()
    special = target.exists() and not target.is_file()  # a device, a named pipe: nothing can be moved there
    try:
        scratch = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=None if special else target.parent)
    except OSError as error:
        raise cannot_be_written(target, error) from error
    with scratch as folder:
        stub_path = Path(folder, "stub.o") if kept_stub is None else Path(os.path.abspath(kept_stub))
        write_output(stub_path, built.stub.content)
        assert built.bound is not None  # noqa: S101  # judged for it
        copies = write_bound(built.bound, os.path.abspath(kept_copies) if kept_copies else Path(folder, "bound"))
        linked = Path(folder, target.name)
        request = PatchRequest(
            objects=[copy for _, copy in copies],
            output=linked,
            extra=[stub_path, *(os.path.abspath(each) for each in further)],
            exports=wanted.exports,
            os=system,
            search=folders,
            host=os.path.abspath(builder.host.path),
            soname=_fresh_name(target, built, inputs),
        )
        plan = plan_link(full_link, request)
        command = plan.command(folder)
        messages, link_map, archives = _run_with_map(command, plan, captured, folder)
        if not linked.is_file():
            message = f"{command[0]}: said nothing was wrong, but wrote no {target.name}\n{messages}".rstrip()
            raise LinkerFailed(message, command=command, status=0, output=messages)
        ours = Inputs(
            tuple(_link_inputs(built, stub_path, copies, further)), link_map, plan.directory or os.getcwd(), archives
        )
        checked = check_linked(
            linked,
            builder.host,
            lambda: ours,
            _library_finder(plan, captured),
            slide=judged.slide,
            exports=wanted.exports,
            libraries=wanted.libraries,
            overrides=wanted.overrides,
            previous=judged.needed.previous,
            pinned=[d.name for d in judged.others if d.verdict is Verdict.LOADER and "@" in d.name],
            facts=builder.facts,
        )
        _refuse_findings(replace(checked, patch=os.fspath(output)), judged.problems)
        assert checked.account is not None  # noqa: S101  # check_linked() makes one of every patch
        replaced = replaced_by(checked.account, builder.host, judged.slide.value, objects_of_host)
        earlier = tuple((patch.path, replaced_in(checked.account, patch)) for patch in judged.needed.previous.patches)
        checkpoint()
        if special:
            write_output(target, linked.read_bytes())
        else:
            os.replace(linked, target)
    return Linked(Path(output), built, plan, tuple(command), messages, checked, replaced, earlier)


def _link_inputs(
    built: Built, stub_path: Path, copies: Sequence[tuple[str, str]], further: Sequence[str]
) -> Iterator[LinkInput]:
    """What the command gives to the linker: stub object, bound copies, and what the caller named besides."""
    yield LinkInput(stub_path.name, str(stub_path), Source.STUB, open_image(built.stub.content, stub_path.name))
    bound = built.bound.objects if built.bound else ()
    own = len(bound) - len(built.resolution.needed.borrowed)  # which stand behind the patch's own
    for number, (item, (name, copy)) in enumerate(zip(bound, copies, strict=True)):
        source = Source.OBJECT if number < own else Source.BORROWED
        yield LinkInput(name, copy, source, open_image(item.content, name))
    for extra in further:
        try:
            opened = open_objects(extra)
        except InputError:  # a library, a linker script
            continue
        for image in opened.images:
            yield LinkInput(image.name, os.path.abspath(extra), Source.OBJECT, image)


def _run_with_map(
    command: Sequence[str], plan: LinkPlan, captured: Capture, folder: str
) -> tuple[str, str | None, tuple[str, ...]]:
    """What the linker prints; its map file's text, None where it writes none; the archives that zig adds."""
    map_file = Path(folder, "link.map")
    option = map_option(plan.args, plan.os, str(map_file))
    try:
        printed = _run([*command, *option], captured, {} if option else ZIG_VERBOSE)
    except LinkerFailed as error:
        if not option or not re.search(rf"-[Mm]ap\b|{re.escape(str(map_file))}", error.output):
            raise
        printed = _run(command, captured)  # a linker that knows no map file said so
    messages, archives = (printed, ()) if option else told_by_zig(printed)
    try:
        return messages, map_file.read_text("utf-8", "surrogateescape"), archives
    except FileNotFoundError:
        return messages, None, archives


def _library_finder(plan: LinkPlan, captured: Capture) -> Callable[[str], str | None]:
    """Finds the file of a library that the patch needs, where the linker or the driver looks for it."""

    def find(name: str) -> str | None:
        directory = plan.directory or os.getcwd()
        if os.path.isabs(name) and os.path.isfile(name):
            return name
        base = os.path.basename(name)
        stem = base.partition(".so")[0] + ".so"
        for folder in library_folders(plan.args, directory):
            for candidate in dict.fromkeys((base, stem)):
                if os.path.isfile(os.path.join(folder, candidate)):
                    return os.path.join(folder, candidate)
        query = library_query(plan.args, plan.os, base)
        try:
            found = _run(query, captured).splitlines()[-1:] if query else []
        except LinkerFailed:
            found = []
        return found[0] if found and os.path.isfile(found[0]) else None

    return find


def _refuse_findings(checked: Checked, problems: Iterable[Decision]) -> None:
    """Raise when something speaks against the patch, and add what was known of the symbols before the link.

    Raises:
        PatchRefusal: its message has a line for each finding and for each of the *problems* that one is about.
    """
    try:
        refuse_findings(checked)
    except PatchRefusal as error:
        named = {name for finding in checked.findings if not finding.ok for name in finding.names}
        notes = [f"  {describe(decision)}" for decision in problems if decision.name in named]
        raise PatchRefusal("\n".join([str(error), *notes]), checked.findings) from error


def _fresh_name(target: Path, built: Built, inputs: Sequence[StrPath]) -> str:
    """The patch's soname: another one for every content, or the loader returns the patch that it already has."""
    digest = hashlib.sha256(built.stub.content)
    for each in inputs:
        digest.update(read_input(each))
    borrowed = len(built.resolution.needed.borrowed)
    for item in built.bound.objects[-borrowed:] if built.bound and borrowed else ():
        digest.update(item.content)
    return f"{target.stem}.{digest.hexdigest()[:12]}{target.suffix}"


ADVICE = {
    "R_AARCH64_LD_PREL_LO19": "the patch's code is more than 1 MiB from the constants that direct accesses to the "
    "host's data read: make the patch of fewer objects, or declare that data with default visibility and use -fPIC",
}
"""What linkers complain about where a bound copy cannot be linked -> what helps."""


def _run(command: Sequence[str], captured: Capture, variables: Mapping[str, str] | None = None) -> str:
    """What the linker prints; *variables* are set besides.

    The captured variables are laid over the present ones and nothing is cleared: drivers look for their linker
    through ``PATH`` ("collect2: cannot find 'ld'").
    """
    try:
        done = run(command, captured.directory, {**os.environ, **captured.environment, **(variables or {})})
    except OSError as error:
        where = "" if captured.directory.is_dir() else f" in {captured.directory}, which is gone"
        raise LinkerFailed(f"{command[0]}: cannot be run{where}: {error.strerror}", command=command) from error
    messages = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        messages = told_by_zig(messages)[0] if variables else messages
        status = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        message = f"{command[0]}: ended with {status}\n{messages}".rstrip()
        message += "".join(f"\n{advice}" for word, advice in ADVICE.items() if word in messages)
        raise LinkerFailed(message, command=command, status=done.returncode, output=messages)
    return messages
