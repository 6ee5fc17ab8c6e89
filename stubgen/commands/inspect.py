"""``inspect``: what is in a file: a patch, a stub object, a host, an object, an archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from stubgen.commands import Outcome
from stubgen.commands.options import address, identity_line
from stubgen.common.text import as_text, as_texts, counted
from stubgen.errors import Refusal
from stubgen.image.identity import identity_in
from stubgen.listing.files import Archive, Opened, open_any
from stubgen.listing.selection import CHOICES, Selection
from stubgen.listing.symbols import ORDERS, Listed, Wanted, version_mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from stubgen.listing.patch import FoundSlot
    from stubgen.stub.find import Stub
    from stubgen.terminal.sheet import Block, Columns, Sheet

PLURALS = {kind: f"{kind}s" for kind in ("function", "thread-local", "ifunc", "common")}
UNASKED = 100
"""Symbols up to which a terminal gets the list without asking for it."""
FEW_NAMES = 12
"""Names that a line of the summary has; the list has all."""
HINT = "choose with --symbol, --kind or --address, or list them with --all"
FORMATS = {"elf": "ELF", "macho": "Mach-O"}


def configure_parser(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "file", metavar="FILE", help="a patch, a stub object, a program, a library, an object, an archive"
    )
    parser.add_argument("more", metavar="FILE", nargs="*", help="likewise")
    parser.add_argument("--symbol", metavar="GLOB", help="only what is called like this, such as '*alloc*'")
    parser.add_argument(
        "--address", type=address, metavar="ADDR", help="only what is there in the file, or leads there in the process"
    )
    parser.add_argument(
        "--kind", action="append", default=[], choices=CHOICES, metavar="KIND", help=f"only {', '.join(CHOICES)}"
    )
    parser.add_argument("--sort", choices=tuple(ORDERS), help="the order of the lists (default: the file's)")
    parser.add_argument("--all", action="store_true", help="list every symbol, also of a large file on a terminal")


def execute(arguments: argparse.Namespace) -> Outcome:
    """Summary and lists of each file; exit status 1 when what was asked for is in none of them."""
    wanted = Wanted(arguments.symbol, arguments.address, tuple(arguments.kind))
    paths = [arguments.file, *arguments.more]
    parts = [_Part(path, open_any(path), wanted, arguments.sort) for path in paths]
    if wanted.glob is not None and not any(parts):
        parts = [part.by_readable_name() for part in parts]
    documents = [part.document() for part in parts] if arguments.json else [{}]
    document = documents[0] if len(documents) == 1 else {"files": documents}
    if wanted and not any(parts):
        return Outcome(document, "", 1, f"{', '.join(paths)}: {_nothing(wanted)}", Refusal.__name__)
    if arguments.json:
        return Outcome(document, "")
    from stubgen.terminal.sheet import Text

    asked = arguments.all or bool(wanted)
    blocks: list[Block] = []
    for part in parts:
        blocks += [*([Text("")] if blocks else []), *part.sheet(asked)]
    return Outcome(document, blocks)


def _nothing(wanted: Wanted) -> str:
    """That nothing was found, and what was looked for."""
    looked_for = [f" called '{wanted.glob}'"] if wanted.glob is not None else []
    looked_for += [f" at {wanted.address:#x}"] if wanted.address is not None else []
    what = " or ".join(wanted.kinds) or "symbol, stub or slot"
    return f"has no {what}{''.join(looked_for)}"


class _Part:
    """One of the files on the command line."""

    def __init__(self, path: str, opened: Opened | Archive, wanted: Wanted, order: str | None) -> None:
        self.path = path
        self.opened = opened
        self.wanted = wanted
        self.order = order
        held = [opened] if isinstance(opened, Opened) else [m.opened for m in opened.members if m.opened is not None]
        self.selections = [Selection(each, wanted, order) for each in held]

    def __bool__(self) -> bool:
        return any(self.selections)

    def by_readable_name(self) -> _Part:
        """The same with the names that match the glob once they are demangled."""
        from stubgen.terminal.names import demangled

        matches = self.wanted.matcher()
        names = {as_text(s.name) for each in self.selections for s in each.opened.symbols}
        names |= {as_text(stub.name) for each in self.selections for stub in each.opened.stubs}
        found = [name for name, shown in demangled(names).items() if matches(shown)]
        wanted = self.wanted._replace(names=frozenset(found))
        return _Part(self.path, self.opened, wanted, self.order)

    def document(self) -> dict[str, object]:
        """For ``--json``."""
        from stubgen.commands.contents import archive_document, file_document

        if isinstance(self.opened, Archive):
            return archive_document(self.path, self.opened, self.selections)
        return file_document(self.path, self.selections[0])

    def sheet(self, asked: bool) -> Sheet:
        """For people."""
        if isinstance(self.opened, Opened):
            return _file_sheet(self.path, self.selections[0], asked)
        return _archive_sheet(self.path, self.opened, self.selections, asked)


def _archive_sheet(path: str, archive: Archive, selections: Sequence[Selection], asked: bool) -> Sheet:
    from stubgen.terminal.sheet import Table, Text

    blocks: list[Block] = [
        Text(f"{path}: archive of {counted(len(archive.members), 'member')}, {archive.size:,} bytes")
    ]
    left = iter(selections)
    rows: list[tuple[str, ...]] = []
    listed: list[Block] = []
    for member in archive.members:
        if member.opened is None:
            rows.append((member.name, member.why_not, "", ""))
            continue
        selection = next(left)
        if not selection.wanted:
            symbols = selection.opened.symbols
            rows.append((member.name, _title(selection.opened), *map(_kinds, _provided_and_required(symbols))))
        if asked and selection:
            listed += [Text(""), *_file_sheet(f"{path}({member.name})", selection, asked)]
    if rows and not (selections and selections[0].wanted):
        blocks.append(Table(rows, ("MEMBER", "IS", "PROVIDES", "REQUIRES"), indent=2, squeezed=0))
    return [*blocks, *listed]


def _title(opened: Opened) -> str:
    return f"{FORMATS[opened.image.format]} {opened.title}"


def _provided_and_required(symbols: Sequence[Listed]) -> tuple[list[Listed], list[Listed]]:
    provided = [symbol for symbol in symbols if symbol.traits.defined]
    return provided, [] if len(provided) == len(symbols) else [s for s in symbols if not s.traits.defined]


def _kinds(symbols: Iterable[Listed]) -> str:
    """How many of each kind, and how many of these are no plain global ones."""
    held_by = Counter([symbol.traits for symbol in symbols])
    counts = Counter[tuple[str, str, str]]()
    for traits, count in held_by.items():
        counts[traits[:3]] += count  # thousands of sections may hold one symbol each
    kinds: dict[str, Counter[str]] = {}
    for (kind, binding, visibility), count in counts.items():
        held = kinds.setdefault(kind, Counter())
        held[""] += count
        if binding != "global":
            held[binding] += count
        if visibility != "default":
            held[visibility] += count
    told = []
    for kind, held in sorted(kinds.items(), key=lambda item: -item[1][""]):
        apart = ", ".join(f"{held[word]:,} {word}" for word in sorted(held) if word)
        noun = PLURALS.get(kind, kind) if held[""] != 1 else kind
        told.append(f"{held['']:,} {noun}" + (f" ({apart})" if apart else ""))
    return ", ".join(told) or "nothing"


def _file_sheet(path: str, selection: Selection, asked: bool) -> Sheet:
    from stubgen.terminal.sheet import CYAN, Entries, Table, Text

    opened = selection.opened
    blocks: list[Block] = [Text(f"{path}: {_title(opened)}, {opened.size:,} bytes", CYAN)]
    every, others = opened.symbols, selection.others
    provided, required = _provided_and_required(every)
    if not selection.wanted:
        blocks.append(Table(list(_facts(opened, provided, required)), indent=2))
    if others is not every:
        provided, required = _provided_and_required(others)
    lists: list[tuple[int, str, Callable[[], Columns]]] = []
    stubs, slots = selection.stubs, selection.slots
    lists.append((len(stubs), "stubs", lambda: _stub_rows(stubs)))
    lists.append((len(slots), "slots", lambda: _slot_rows(slots)))
    lists.append((len(provided), "symbols provided", lambda: _symbol_rows(provided, "PROVIDES")))
    lists.append((len(required), "symbols required", lambda: _symbol_rows(required, "REQUIRES")))
    for count, what, make in lists:
        if count:
            blocks += [Text(""), Entries(make, count, what, most=None if asked else UNASKED, hint=HINT)]
    return blocks


def _facts(opened: Opened, provided: Sequence[Listed], required: Sequence[Listed]) -> Iterable[tuple[str, str]]:
    """The lines of a file's summary; it has the symbols *provided* and *required*."""
    image = opened.image
    linked = opened.role != "object"
    identity = identity_in(image)
    facts = [
        ("made for", identity_line(identity).strip().removeprefix("for ") if identity else ""),
        ("own name", opened.install_name or ""),
        ("build id", image.build_id.hex() if image.build_id else ""),
        ("made from", as_text(image.source_file) if not linked else ""),
        ("C library", opened.libc),
        ("needs", ", ".join(opened.needed_libraries)),
        ("BTI", "indirect branches are guarded" if image.branch_targets_guarded else ""),
    ]
    if opened.stubs or opened.slots:
        facts += _patch_facts(opened, provided, required)
    facts += [("provides", _kinds(provided)), ("requires", _kinds(required))]
    return ((title, text) for title, text in facts if text)


def _patch_facts(opened: Opened, provided: Sequence[Listed], required: Sequence[Listed]) -> list[tuple[str, str]]:
    kept = [as_text(slot.name) for slot in opened.slots if slot.kept]
    facts = [
        ("stubs", f"{len(opened.stubs):,}"),
        ("slots", f"{len(opened.slots):,}" if opened.slots else ""),
        ("kept state", f"{_few(kept)}: the host's, in place of the patch's own" if kept else ""),
    ]
    if opened.is_patch:
        from stubgen.listing.patch import origins
        from stubgen.origin.sources import Source

        exported = sorted(as_text(symbol.name) for symbol in provided if symbol.exported)
        left = [as_text(s.versioned) + (" (weak)" if s.traits.binding == "weak" else "") for s in required]
        found = origins(opened.image, opened.stubs)
        told = [f"{'its inputs' if source is Source.UNTOLD else source.value} {count:,}" for source, count in found]
        facts += [
            ("exports", _few(exported) or "nothing"),
            ("left to the loader", _few(left) or "nothing"),
            ("comes from", ", ".join(told)),
        ]
    return facts


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW_NAMES:,} more" if len(names) > FEW_NAMES else ""
    return ", ".join(names[:FEW_NAMES]) + more


def _stub_rows(found: Sequence[Stub]) -> Columns:
    from stubgen.terminal.sheet import Columns

    width = max(len(f"{max(stub.address for stub in found):#x}"), len("ADDRESS"))
    target = len(f"{max(stub.target for stub in found):#x}")
    return Columns(
        (f"  {'ADDRESS':>{width}} -> TARGET", "", "STUB"),
        [f"  {s.address:>#{width}x} -> {s.target:>#{target}x}" for s in found],
        ["bti" if stub.bti else "" for stub in found],
        [as_text(stub.name) or "(stripped)" for stub in found],
        [""] * len(found),
    )


def _slot_rows(found: Sequence[FoundSlot]) -> Columns:
    from stubgen.listing.patch import SLOT_KINDS
    from stubgen.terminal.sheet import Columns

    width = max(len(f"{max(slot.address for slot in found):#x}"), len("ADDRESS"))
    values = ["?" if slot.value is None else f"{slot.value:#x}" for slot in found]
    return Columns(
        (f"  {'ADDRESS':>{width}} = VALUE", "", "SLOT"),
        [f"  {slot.address:>#{width}x} = {value:<18}" for slot, value in zip(found, values, strict=True)],
        [SLOT_KINDS[slot.size] for slot in found],
        [as_text(slot.name) + (f"{slot.addend:+d}" if slot.addend else "") for slot in found],
        ["  (kept: the patch has its own too)" if slot.kept else "" for slot in found],
    )


def _symbol_rows(found: Sequence[Listed], title: str) -> Columns:
    """Each column is made by the pass: a file may have a million symbols."""
    from stubgen.terminal.sheet import Columns

    names, addresses, sizes, traits, versions, defaults, exported, files, libraries = zip(*found, strict=True)
    keys = [(each[:3], seen) for each, seen in zip(traits, exported, strict=True)]
    whats = {key: _what(*key) for key in set(keys)}
    wide = max(map(len, whats.values()))
    whats = {key: what.ljust(wide) for key, what in whats.items()}
    places, befores = _places(addresses, sizes, [whats[key] for key in keys])
    spellings = as_texts(names)
    if any(versions):
        told = zip(spellings, versions, defaults, traits, strict=True)
        spellings = [text + version_mark(version, default and each.defined) for text, version, default, each in told]
    known = set(zip(files, libraries, strict=True))
    notes = {(f, lib): f"  [{as_text(f)}]" if f else f"  ({lib})" if lib else "" for f, lib in known}
    return Columns(
        (f"  {places}{title}", "SECTION", "SYMBOL"),
        befores,
        [each.section for each in traits],
        spellings,
        [notes[key] for key in zip(files, libraries, strict=True)],
    )


def _places(
    addresses: Sequence[int | None], sizes: Sequence[int | None], whats: Sequence[str]
) -> tuple[str, list[str]]:
    """The title of the columns for address and size, and what each row has there, with what it is behind that.

    No symbol of the list may have an address, or a size: then there is no such column.
    """
    anywhere = any(address is not None for address in addresses)
    sized = anywhere and any(size is not None for size in sizes)
    if not anywhere:
        return "", [f"  {what}" for what in whats]
    largest = max(size or 0 for size in sizes)
    wide = max(len(f"{max(address or 0 for address in addresses):#x}"), len("ADDRESS"))
    size_wide = max(len(str(largest)), len("SIZE"))
    row = f"%{wide}s  %{size_wide}s  " if sized else f"%{wide}s  "
    columns: list[Iterable[object]] = [["" if address is None else hex(address) for address in addresses]]
    columns += [["" if size is None else size for size in sizes]] if sized else []
    return row % ("ADDRESS", "SIZE")[: len(columns)], list(map(f"  {row}%s".__mod__, zip(*columns, whats, strict=True)))


def _what(traits: tuple[str, str, str], exported: bool) -> str:
    """A symbol's kind, binding and visibility in words."""
    kind, binding, visibility = traits
    seen = "" if visibility == "default" else f" {visibility}"
    told = binding if not exported else "exported" if binding == "global" else "weak exported"
    return f"{kind} {told}{seen}"
