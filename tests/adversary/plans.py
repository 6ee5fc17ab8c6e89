"""What is tried: a program, its edits and its build, from a seed or from a file."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import NamedTuple

from adversary.c_source import PRINTERS
from adversary.classes import HEADER, is_sound
from adversary.edits import Editor
from adversary.generate import Generator
from adversary.interpret import Machine, TooLong
from adversary.model import Function, Program, decode, encode
from adversary.names import are_sound
from adversary.objects import WrongObjectError
from adversary.rust_build import choose as choose_rust
from adversary.statements import Features
from adversary.toolchains import SESSIONS, Build, choose, with_session

ARGUMENTS = (3, 10, 4, 7)
"""What the entries are called with before the first patch and after each."""


class Plan(NamedTuple):
    """What is tried: all that is needed to try it again."""

    build: Build
    versions: tuple[Program, ...]
    edits: tuple[str, ...] = ()

    def save(self, path: Path, what: str) -> None:
        """Write it to a file, with a sentence on *what* it shows."""
        build = {
            name: list(value) if isinstance(value, tuple) else value for name, value in self.build._asdict().items()
        }
        versions = [encode(version) for version in self.versions]
        document = {"shows": what, "build": build, "edits": list(self.edits), "versions": versions}
        path.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def load_plan(path: Path) -> Plan:
    """The plan that :meth:`Plan.save` wrote."""
    document = json.loads(path.read_text())
    build = {name: tuple(value) if isinstance(value, list) else value for name, value in document["build"].items()}
    return Plan(Build(**build), tuple(map(decode, document["versions"])), tuple(document["edits"]))


def plan_of_seed(seed: int, kind: str) -> Plan:
    """The program, its edits and its build that a seed means; *kind* is one that ``__main__.py`` lists."""
    return plans_of_seed(seed, kind, 1)[0]


def plans_of_seed(seed: int, kind: str, count: int) -> list[Plan]:
    """The seed's plan, and others that edit the same program, which is built alike, in other ways."""
    random = Random(f"{kind} {seed}")
    language, file_format = (*kind.split(), "elf")[:2]
    macho = file_format.startswith("macho")
    crate = choose_rust(random, file_format) if language == "rust" else None
    features = Features(
        cxx=language in ("c++", "rust"),
        cxx_runtime=not macho and not (crate and "-Cpanic=abort" in crate.options),
        thread_locals=not macho or file_format == "macho-threads",
        rivals=file_format == "weak",
        libraries=file_format == "shared",
        folders=file_format.endswith("folders"),
        names=file_format.endswith("names"),
        elf=not macho,
        commons=file_format.endswith("common"),
        forms=file_format.endswith("forms"),
        constructors=file_format.endswith("start"),
        inline_statics=file_format.endswith("inline"),
        classes=file_format.endswith("classes"),
        crates=language == "rust" and (file_format == "crates" or (file_format == "patch" and bool(seed % 4))),
        rust=crate is not None,
    )
    while True:
        generator = Generator(random, features)
        build = crate or choose(random, language, file_format)
        program = generator.program()
        if build.library:
            program = program._replace(archived=())  # nothing in the library needs the members
        if not is_usable(program, language) or (features.libraries and not program.shared):
            continue
        editor = Editor(generator, types=build.debug, files=build.way == "library")
        first = _edited(Plan(build, (program,)), editor)
        if len(first.versions) > 1:
            break
    plans = [first]
    while len(plans) < count:
        how = with_session(build, random.choice(SESSIONS))
        plans.append(_edited(Plan(how, (program,)), editor))
    return [plan for plan in plans if len(plan.versions) > 1]


def _edited(plan: Plan, editor: Editor) -> Plan:
    """*plan* with one to three more versions, or none where no edit fits."""
    language = plan.build.language
    for generation in range(1, editor.random.choice((1, 1, 2, 3)) + 1):
        for _ in range(20):
            edited = editor.edit(plan.versions[-1], generation)
            usable = is_usable(edited.program, language)
            files = changed_files(plan.versions[-1], edited.program, language) if usable else []
            if files and not set(files) & set(edited.program.shared):
                plan = plan._replace(versions=(*plan.versions, edited.program), edits=(*plan.edits, edited.what))
                break
    return plan


def is_usable(program: Program, language: str) -> bool:
    """Whether every name in it means something where it stands, and no call takes long."""
    if not (is_sound(program) and are_sound(program)):
        return False
    try:
        for file in program.files:
            text_of(program, file.name, language)
        machine = Machine(program, complete_tables=True)
        for argument in ARGUMENTS:
            for entry in entries(program):
                machine.call(entry.name, argument)
    except (IndexError, StopIteration, KeyError, RecursionError, TooLong, WrongObjectError):
        return False
    return True


def entries(program: Program) -> list[Function]:
    """The functions that the runtime calls."""
    return [function for file in program.files for function in file.functions if function.entry]


@lru_cache(maxsize=1 << 10)
def text_of(program: Program, file: str, language: str) -> str:
    """A file as the compiler gets it."""
    return PRINTERS[language][1](program, file)


def changed_files(before: Program, after: Program, language: str) -> list[str]:
    """The files whose text an edit changed, and those that are new."""
    known = {file.name for file in before.files}
    return [
        file.name
        for file in after.files
        if (file.name != HEADER or language == "rust")
        and (file.name not in known or text_of(before, file.name, language) != text_of(after, file.name, language))
    ]
