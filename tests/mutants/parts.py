"""The parts whose bytes and judgements must be right, and the tests beside each."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """Modules that are changed, and the tests that shall see it."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]  # files, none of which needs a linker or qemu for what it tells


PARTS = {
    "trampoline": Part(
        ("stubgen/stub/trampoline.py", "stubgen/stub/decoding.py", "stubgen/stub/disassembler.py"),
        ("tests/stub",),
    ),
    "slide": Part(("stubgen/host/slide.py",), ("tests/host/test_slide.py",)),
    "writers": Part(
        (
            "elf/writer.py",
            "macho/writer.py",
            "stubgen/stub/contents_elf.py",
            "stubgen/stub/sections_elf.py",
            "stubgen/stub/sections_macho.py",
            "stubgen/stub/emit.py",
        ),
        (
            "tests/formats/test_written_fields.py",
            "tests/formats/test_writers.py",
            "tests/stub/test_stub_fields.py",
            "tests/stub/test_emit.py",
            "tests/stub/test_verify.py",
        ),
    ),
    "index": Part(("stubgen/host/index.py",), ("tests/host/test_index.py", "tests/host/test_index_form.py")),
    "linkplan": Part(
        ("stubgen/linkplan/decisions.py",),
        ("tests/linkplan/test_decisions.py", "tests/linkplan/test_plan.py", "tests/linkplan/test_relocatable.py"),
    ),
    "command": Part(
        tuple(f"stubgen/linkplan/{name}.py" for name in ("toolchain", "response", "libraries", "additions", "tokens")),
        tuple(
            f"tests/linkplan/test_{name}.py"
            for name in (
                *("toolchain", "response", "decisions", "plan", "refusals", "request", "public_commands"),
                *("anchor", "map_option", "relocatable", "search"),
            )
        ),
    ),
    "plan": Part(
        tuple(f"stubgen/linkplan/{name}.py" for name in ("edits", "plan", "refusals", "anchor", "map_option")),
        tuple(
            f"tests/linkplan/test_{name}.py"
            for name in (
                *("anchor", "map_option", "plan", "refusals", "decisions", "relocatable", "request", "response"),
                *("public_commands", "search", "toolchain", "edits"),
            )
        ),
    ),
    "bind": Part(
        (
            "stubgen/bind/__init__.py",
            "stubgen/bind/elf.py",
            "stubgen/bind/macho.py",
            "stubgen/bind/run.py",
            "stubgen/bind/held.py",
            "stubgen/bind/local_exec.py",
            "stubgen/common/aarch64.py",
            "stubgen/common/differences.py",
        ),
        (
            "tests/common/test_differences.py",
            *(
                f"tests/bind/test_{name}.py"  # not test_differential.py, which binds thousands of objects
                for name in (
                    *("elf_accesses", "elf_symbols", "held", "held_bytes", "local_exec", "macho_rows", "macho_symbols"),
                    *("offsets", "rows", "slot_rows", "whole"),
                )
            ),
        ),
    ),
    "check": Part(("stubgen/check.py",), ("tests/check",)),
    "origin": Part(
        ("stubgen/origin/findings.py", "stubgen/origin/content.py"),
        ("tests/origin/test_findings.py",),
    ),
    "account": Part(
        tuple(f"stubgen/origin/{name}.py" for name in ("account", "elf", "macho", "sources", "link_map")),
        tuple(f"tests/origin/test_{name}.py" for name in ("account", "definitions", "sources", "findings", "link_map")),
    ),
    "registers": Part(
        tuple(f"stubgen/registers/{name}.py" for name in ("__init__", "access", "changed", "live", "past", "program")),
        ("tests/registers",),
    ),
    "loading": Part(
        ("stubgen/loading/elf.py", "stubgen/loading/macho.py"),
        ("tests/loading/test_elf_rules.py", "tests/loading/test_macho_rules.py"),
    ),
    "resolve": Part(
        (
            "stubgen/resolve/resolver.py",
            "stubgen/resolve/candidates.py",
            "stubgen/resolve/keep_state.py",
            "stubgen/resolve/storage.py",
            "stubgen/resolve/statics.py",
            "stubgen/resolve/verdicts.py",
        ),
        tuple(
            f"tests/resolve/test_{name}.py"  # those that need no compiler
            for name in ("candidates", "keep_state_pairs", "keep_state_rules", "moves", "resolver")
        ),
    ),
    "variables": Part(
        tuple(
            f"stubgen/resolve/{name}.py"
            for name in ("answering", "for_copies", "renamed", "shared_variables", "previous", "renumbered")
        ),
        (
            "tests/test_policies.py",
            *(
                f"tests/resolve/test_{name}.py"
                for name in (
                    *("judging", "resolver", "same_file_rules", "plain", "candidates"),
                    *("keep_state_pairs", "keep_state_rules", "previous", "renamed", "renumbered"),
                    *("for_copies", "shared_variables"),
                )
            ),
        ),
    ),
    "table": Part(
        ("stubgen/jumptable/__init__.py",),
        ("tests/jumptable/test_make.py", "tests/jumptable/test_lines.py", "tests/jumptable/test_formats.py"),
    ),
    "generation": Part(
        ("stubgen/generations/linking.py",),
        ("tests/generations/test_linking.py", "tests/generations/test_redirections.py"),
    ),
    "patching": Part(("stubgen/patching.py",), ("tests/test_patching.py",)),
    "forms": Part(
        ("stubgen/resolve/constants.py", "stubgen/resolve/other_forms.py"),
        tuple(
            f"tests/resolve/test_{name}.py"
            for name in ("for_copies", "shared_variables", "keep_state_pairs", "judging", "constants", "other_forms")
        ),
    ),
    "redirections": Part(
        ("stubgen/generations/redirections.py", "stubgen/jumptable/formats.py"),
        ("tests/generations/test_redirections.py", "tests/jumptable/test_formats.py"),
    ),
    "judging": Part(
        tuple(f"stubgen/resolve/{name}.py" for name in ("judging", "by_kind", "same_file")),
        (
            "tests/test_policies.py",
            *(
                f"tests/resolve/test_{name}.py"
                for name in (
                    *("judging", "resolver", "same_file_rules", "plain", "candidates"),
                    *("keep_state_pairs", "keep_state_rules"),
                )
            ),
        ),
    ),
}
"""Part -> what it is made of."""
