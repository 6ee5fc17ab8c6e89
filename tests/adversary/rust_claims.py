"""What stubgen says of a crate's patch, as the oracle takes it: a symbol of Rust tells file and function."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from adversary.claims import Claims, Kept, Key, Split, Untold
from adversary.model import Point, Program, Store, Variable, parts
from adversary.rust_crates import crate_of
from adversary.rust_names import function_of, part_of, variable_of
from adversary.rust_types import is_computed
from tools import need, run

from stubgen.resolve.verdicts import SharedVariable


class RustClaims(Claims):
    """What stubgen said of one patch, which has the whole of each crate that it has."""

    def _files(self) -> frozenset[str]:
        crates = {name.partition(".")[0] for name in self.said.objects}
        return frozenset(file.name for file in self.program.files if crate_of(self.program, file.name) in crates)

    def _left_out(self) -> frozenset[tuple[str, str]]:
        told = [(function_of(self.program, symbol), reason) for _, symbol, reason in self.said.undecided]
        self.excuses += [f"left out: {reason}" for found, reason in told if found]
        return frozenset(found for found, _ in told if found)

    def _kept(self, rows: list[SharedVariable]) -> list[Kept]:
        patches = {str(self.folder / f"patch{n}.so"): n for n in range(1, self.number)}
        meant: dict[Key, list[SharedVariable]] = {}
        for row in rows:
            key = variable_of(self.program, row.name)
            if key is not None:
                meant.setdefault(key, []).append(row)
        kept: dict[Key, int] = {}
        for key, alike in meant.items():
            self.excuses += [f"not kept: {row.reason_not_kept}" for row in alike if not row.forwarded]
            forwarded = [row for row in alike if row.forwarded]
            if not forwarded:
                continue
            parts = [row.name for row in forwarded if part_of(row.name)]
            if parts:
                raise Untold(f"{parts[0]} is kept, and may be any part of {'.'.join(key)}")
            if len(alike) > 1 and not self._of(key).thread_local:  # which has a form that drops, and nobody uses it
                raise Split(".".join(key))
            if self._of(key).thread_local and not self._is_written(key[2]):
                raise Split(".".join(key))  # LLVM may have put what it began with into the code, cell by cell
            kept[key] = patches.get(forwarded[0].patch, 0)
            if self._is_in_another_order(key, kept[key]):
                raise Split(f"{'.'.join(key)}, whose fields rustc may have left where they were,")
            if not is_computed(self._of(key)):
                self._check_value(forwarded[0], key, kept[key])
        constants = {variable_of(self.program, row.name) for row in self.said.shared if not row.writable}
        self.excuses += self._unsaid({*meant, *constants})
        return [kept]

    def _unsaid(self, told: set[Key | None]) -> Iterator[str]:
        """A variable that stubgen says nothing of must be new, or the compiler took it away or made others of it."""
        known = 0 if self.plan.build.session == "none" else self.number - 1
        old = self.plan.versions[known]
        before = {(file.name, v.function, v.name) for file in old.files for v in file.variables if not v.constant}
        for file, variable in self.variables:
            key = file, variable.function, variable.name
            if key not in before or key in told:
                continue
            host, patch = (self._of_variables[side].get(key, set()) for side in ("host", "patch"))
            if host & patch:
                raise Untold(f"host and patch have {'.'.join(key)}, and no word is said of it")
            yield "absent: the compiler left none of it in host or patch, or parts of it"

    def _is_written(self, name: str) -> bool:
        """Whether some code of the version stores into a static of that name."""
        stores = (part for file in self.program.files for part in parts(file.functions))
        return any(isinstance(part, (Store, Point)) and part.place.variable == name for part in stores)

    def _is_in_another_order(self, key: Key, kept: int) -> bool:
        """Whether the source of version *kept* has the fields in another order; rustc puts them into its own."""
        file, function, name = key
        old = [v for v in self.plan.versions[kept].file(file).variables if (v.function, v.name) == (function, name)]
        return any(
            each.fields != self._of(key).fields and set(each.fields) == set(self._of(key).fields) for each in old
        )

    def _of(self, key: Key) -> Variable:
        file, function, name = key
        return next(v for v in self.program.file(file).variables if (v.function, v.name) == (function, name))

    @cached_property
    def _of_variables(self) -> dict[str, dict[Key, set[str]]]:
        """Host or patch -> variable -> what LLVM put behind the names of its symbols there."""
        sides = {
            "host": (self.plan.versions[0], [str(self.folder / "host")]),
            "patch": (self.program, [str(path) for path in self.said.objects.values()]),
        }
        return {side: _suffixes(program, paths) for side, (program, paths) in sides.items()}


def _suffixes(program: Program, paths: list[str]) -> dict[Key, set[str]]:
    found: dict[Key, set[str]] = {}
    for line in run([str(need("llvm-nm-19")), "--defined-only", *paths]).splitlines():
        *_, letter, symbol = ["", "-", "", *line.split()]
        key = variable_of(program, symbol) if letter in "bBdDvVcC" else None  # LLVM makes constants of what stays
        if key is not None:
            found.setdefault(key, set()).add(part_of(symbol))
    return found
