"""Which of the host's functions a linked patch replaces: what jump tables are made of.

Only functions of the patch's own objects count, local ones as well; what archives, start-up code, the linker or the
stub object brought along replaces nothing. A name alone does not make two functions one: rules like those for variables
(``resolve.keep_state``) tell, and what they cannot tell is listed with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from stubgen.common.phases import phase
from stubgen.common.row import Row
from stubgen.common.text import as_bytes, as_text, counted
from stubgen.host import Host
from stubgen.host.previous import EarlierPatch
from stubgen.image import Candidate, Image, Kind
from stubgen.origin.account import Account, LinkInput
from stubgen.origin.sources import Origin, Source
from stubgen.origin.symbols import Symbol
from stubgen.resolve.same_file import Files
from stubgen.symbols.cxx import is_external_cxx_name, relinked_function
from stubgen.symbols.numbering import function_numbering, with_siblings
from stubgen.symbols.placed import LITERAL_PREFIX
from stubgen.symbols.rust import is_rust_name
from stubgen.symbols.versions import GCC_RENAMED, LLVM_RENAMED, base_name, is_part, unrenamed
from stubgen.without_code import HostsLink, WithoutCode, without_code

_FUNCTIONS = (Kind.FUNCTION, Kind.IFUNC)


class HostCopy(Row):
    """One place where the host has a function."""

    static_address: int
    """In the host's file."""
    runtime_address: int
    """In the process."""
    names: tuple[str, ...]
    """All that begin there: several where the source or the linker gave one body to several."""


class Replacement(Row):
    """A function of the patch, and what it is in the host."""

    name: str
    """The function."""
    object: str
    """The object of the patch that defines it; an archive's member as ``archive(member)``."""
    local: bool
    """Whether no other file sees it."""
    address: int
    """Virtual address in the patch."""
    copies: tuple[HostCopy, ...]
    """Where the host has it, by address; of one that is undecided, all that it may be."""
    by_name: bool
    """Whether new code that calls the name means this one, also where the host's address leaves it undecided."""
    reason: str = ""
    """Why it is undecided; empty if it is not."""
    users: tuple[str, ...] = ()
    """The objects of the host's link that go on with what they have of it, where it has no code there."""


class Replaced(Row):
    """What a patch replaces."""

    functions: tuple[Replacement, ...]
    """For sure: whoever calls any of the copies' addresses means the patch's function."""
    undecided: tuple[Replacement, ...]
    """The others whose name the host has, each with a reason."""

    @property
    def by_name(self) -> dict[str, int]:
        """Name -> virtual address in the patch, for those that other files call by their name."""
        return {item.name: item.address for item in (*self.functions, *self.undecided) if item.by_name}


class _Own:
    """A function of the patch's own, and the host's of its name.

    Args:
        item: the object that defines it.
        symbol: as that has it.
        candidates: the host's.
        files: the host's files.
        relinked: the host's are called otherwise, as C++ calls a function with another linkage.
    """

    def __init__(
        self, item: LinkInput, symbol: Symbol, candidates: Iterable[Candidate], files: Files, *, relinked: bool = False
    ) -> None:
        self.relinked = relinked
        self.input = item
        self.symbol = symbol
        self.files = files
        self.addresses: set[int] = set()
        """Where it is in the patch; several places where its object has several of that name."""
        self.without_code: WithoutCode | None = None
        """Why nothing leads its users in the host to the patch, where that has no code of it."""
        self.has_siblings = False
        """Whether patch or host have another one of its family."""
        placed = [files.host.in_its_file(c) if c.local and not c.hidden else c for c in candidates]
        # LLVM's ThinLTO makes a static function hidden, and gives it another name
        shown = {c.address: c for c in placed if (not c.local or c.hidden) and c.name == symbol.name}
        self.visible = list(shown.values())
        """The host's that other files see, or could before the link."""
        self.local = [c for c in placed if c.address not in shown]
        """The host's that are one file's own."""
        self.candidates = [*self.visible, *self.local]
        """All of the host's."""
        self.is_ifunc = Kind.IFUNC in [symbol.kind, *[c.kind for c in self.candidates]]
        """Whether it is one, here or in the host."""

    @cached_property
    def is_one_by_name(self) -> bool:
        """Whether a program has but one function of that name, in however many copies."""
        return is_rust_name(self.symbol.name) or is_external_cxx_name(self.symbol.name)

    @cached_property
    def file(self) -> bytes:
        """Its source file, where anything says."""
        return self.symbol.file or self.input.image.source_file

    @cached_property
    def of_its_file(self) -> list[Candidate]:
        """The host's that are one file's own, where that file is this one's."""
        own = [c for c in self.local if c.local and not c.hidden] if self.relinked else self.local
        return [c for c in own if not self.files.why_not(self.input.image, self.file, c)]

    @cached_property
    def seen_of_its_file(self) -> list[Candidate]:
        """Of functions with another linkage, the host's that other files see, unless they are from another file."""
        seen = [c for c in self.local if self.relinked and (not c.local or c.hidden)]
        return [c for c in seen if self._is_of_source(c) is not False]

    def _is_of_source(self, candidate: Candidate) -> bool | None:
        return self.files.host.is_of_source(candidate, self.input.image.debug_info.source_file)

    @cached_property
    def meant(self) -> list[Candidate]:
        """Those that it is, if nothing speaks against it."""
        if self.relinked:
            return [*self.of_its_file, *(c for c in self.seen_of_its_file if self._is_of_source(c))]
        if self.is_one_by_name:
            return self.candidates
        return self.visible if self.visible and not self.symbol.static else self.of_its_file

    @property
    def is_called_by_name(self) -> bool:
        """Whether a new reference to that name means it, and the host's is no stranger."""
        return bool(self.meant) and not self.symbol.static and not self.is_ifunc and len(self.addresses) == 1

    @property
    def has_strangers_alone(self) -> bool:
        """Whether it is its file's own, and all of the host's are those of files of other names."""
        if self.relinked:
            others = [c for c in self.local if c.local and not c.hidden and (not c.file or c.file == self.file)]
            return not others and not self.seen_of_its_file
        own = self.symbol.static and not self.is_one_by_name and self.file and self.candidates
        return bool(own) and not self.visible and all(c.file and c.file != self.file for c in self.local)


class _Rule(Row):
    """What speaks against the host's, and how that is said."""

    applies: Callable[[_Own], bool]
    reason: Callable[[_Own], str]


def replaced_by(account: Account, host: Host, slide: int, link: HostsLink | None = None) -> Replaced:
    """What the patch of *account* replaces in *host*, which lies *slide* bytes above the addresses in its file.

    Nothing is the patch's own where the account knows no inputs (``Inputs.files``). *link*: what is known of the
    host's.
    """
    phase("holds its functions against the host's")
    in_host = {definition.symbol.name: definition.host for definition in account.definitions}
    link = link or HostsLink()
    return _replaced(account, Files(host.image, link.objects), slide, in_host.__getitem__, link)


def replaced_in(account: Account, patch: EarlierPatch) -> Replaced:
    """Likewise, what it replaces in an earlier patch."""
    patch.learn({definition.symbol.name for definition in account.definitions})
    return _replaced(account, Files(patch.image), patch.slide, patch.find, HostsLink())


def _replaced(
    account: Account, files: Files, slide: int, find: Callable[[bytes], Sequence[Candidate]], link: HostsLink
) -> Replaced:
    host = files.host
    functions = list(_own_functions(account, files, find, link))
    tables = [table for item in account.inputs.files for table in item.image.symbol_tables]
    siblings = with_siblings({own.symbol.name for own in functions}, [*tables, *host.symbol_tables[:1]])
    names = host.names_at({c.address for own in functions for c in own.candidates})
    rows = []
    for own in functions:
        own.has_siblings = own.symbol.name in siblings
        if not own.has_strangers_alone:
            rows.append(_row(own, next((rule.reason(own) for rule in RULES if rule.applies(own)), ""), names, slide))
    rows = list(_told_apart(list(_merged(rows))))
    sure, undecided = ([row for row in rows if bool(row.reason) is doubt] for doubt in (False, True))
    return Replaced(tuple(sure), tuple(undecided))


def _own_functions(
    account: Account, files: Files, find: Callable[[bytes], Sequence[Candidate]], link: HostsLink
) -> Iterator[_Own]:
    """The functions of the patch's objects whose name the host has too, or may have had."""
    host = files.host
    objects = {item.origin: item for item in account.inputs.files if item.source is Source.OBJECT}
    symbols = {origin: _function_symbols(item) for origin, item in objects.items()}
    found: dict[tuple[Origin, bytes], _Own] = {}
    new: dict[tuple[Origin, bytes], tuple[Symbol, set[int]]] = {}
    nameless = host.has_nameless_functions
    globals_too = not host.has_full_symbols or host.hides_globals
    for definition in account.definitions:
        origin, name = definition.origin, definition.symbol.name
        symbol = symbols.get(origin, {}).get(name)
        if symbol is None or definition.symbol.kind not in _FUNCTIONS:
            continue
        candidates = [c for c in find(name) if c.kind in _FUNCTIONS]
        if candidates:
            own = found.get((origin, name)) or _Own(objects[origin], symbol, candidates, files)
            found[origin, name] = own
            own.addresses.add(definition.symbol.address)
        else:
            new.setdefault((origin, name), (symbol, set()))[1].add(definition.symbol.address)
    for key, own in _renamed_by_the_link(found, new, objects, files).items():
        found[key] = own
        new.pop(key, None)
    yield from found.values()
    relinked = _with_another_linkage({name for _, name in new}, objects.values(), host)
    seen = [name for (_, name), (symbol, _) in new.items() if not symbol.static and not symbol.weak]
    functions = {name for named in symbols.values() for name in named}
    defined = {name for item in objects.values() for name in item.image.definitions()} if seen else set()
    gone = without_code(seen, host, link, functions, defined)
    for (origin, name), (symbol, addresses) in new.items():
        if name in relinked or name in gone or (nameless and (globals_too or not symbol.exported)):
            own = _Own(objects[origin], symbol, relinked.get(name, ()), files, relinked=name in relinked)
            own.addresses |= addresses
            own.without_code = gone.get(name)
            yield own


def _renamed_by_the_link(
    found: Mapping[tuple[Origin, bytes], _Own],
    new: Mapping[tuple[Origin, bytes], tuple[Symbol, set[int]]],
    objects: Mapping[Origin, LinkInput],
    files: Files,
) -> dict[tuple[Origin, bytes], _Own]:
    """Functions that the host has under no name of their file's, and may have as a static one that the link renamed.

    Args:
        found: those of whose names the host has some.
        new: the others: as their objects have them, and their addresses in the patch.
        objects: the patch's.
        files: the host's.
    """
    sought: dict[tuple[Origin, bytes], tuple[Symbol, set[int], Sequence[Candidate]]] = {
        key: (symbol, addresses, ()) for key, (symbol, addresses) in new.items()
    }
    strangers = {key: own for key, own in found.items() if own.has_strangers_alone and not own.relinked}
    sought |= {key: (own.symbol, own.addresses, own.candidates) for key, own in strangers.items()}
    called: dict[bytes, list[bytes]] = {}
    plain_names = {name for _, name in sought}
    for name in files.host.names_with([GCC_RENAMED, LLVM_RENAMED], behind=plain_names) if sought else ():
        if plain := unrenamed(name):
            called.setdefault(plain, []).append(name)
    there = files.host.find({each for _, name in sought for each in called.get(name, ())})
    for name, candidates in there.items():
        if GCC_RENAMED in name:  # hidden where GCC compiled its callers apart: the linker puts it behind any file
            there[name] = [c._replace(hidden=False, file=b"") if c.hidden else c for c in candidates]
    made = {}
    for key, (symbol, addresses, known) in sought.items():
        others = [c for name in called.get(key[1], ()) for c in there.get(name, ()) if c.kind in _FUNCTIONS]
        if others:
            made[key] = _Own(objects[key[0]], symbol, [*known, *others], files)
            made[key].addresses |= addresses
    return made


def _with_another_linkage(
    new: Iterable[bytes], objects: Iterable[LinkInput], host: Image
) -> dict[bytes, list[Candidate]]:
    """Those of the *new* functions of *objects* that the host has under the name of another linkage, and these."""
    names = {name: others for name in new if (others := relinked_function(name))}
    if not names:
        return {}
    defined = {name for item in objects for name in item.image.definitions()}
    found = host.find(frozenset().union(*names.values()) - defined)
    pools = {
        name: [c for other in others for c in found.get(other, ()) if c.name == other] for name, others in names.items()
    }
    kept = {name: [c for c in pool if c.kind in _FUNCTIONS] for name, pool in pools.items()}
    return {name: pool for name, pool in kept.items() if pool}


def _function_symbols(item: LinkInput) -> dict[bytes, Symbol]:
    """The functions that an object defines, by name."""
    found: dict[bytes, Symbol] = {}
    for symbol in item.symbols:
        label = item.image.format == "elf" and symbol.static and not symbol.size  # of assembly
        part = is_part(symbol.name) or symbol.name.startswith(LITERAL_PREFIX)
        if symbol.kind in _FUNCTIONS and not label and not part:
            found.setdefault(symbol.name, symbol)
    return found


def _says(text: str) -> Callable[[_Own], str]:
    return lambda _: text


def _is_one_of_several(own: _Own) -> bool:
    return not own.is_one_by_name and len({candidate.address for candidate in own.meant}) > 1


def _why_another_file(own: _Own) -> str:
    return own.files.why_not(own.input.image, own.file, own.local[0])


RULES = (
    _Rule(
        lambda own: own.without_code is not None and not own.candidates,
        lambda own: own.without_code.reason if own.without_code is not None else "",
    ),
    _Rule(
        lambda own: not own.candidates,
        _says(
            "the host names none of its static functions (strip, or the linker's -x, took the names), so nobody can "
            "tell whether it has this one: --symbols gives them back"
        ),
    ),
    _Rule(lambda own: own.is_ifunc, _says("it is an ifunc: what lies there is its resolver, not the function")),
    _Rule(lambda own: len(own.addresses) > 1, _says("its object has several of that name")),
    _Rule(
        lambda own: bool(function_numbering(own.symbol.name)) or own.has_siblings,
        _says("compilers number such functions anew in each build"),
    ),
    _Rule(
        _is_one_of_several,
        lambda own: f"the host has {counted(len(own.meant), 'function')} of that name at different addresses",
    ),
    _Rule(
        lambda own: not own.meant and own.symbol.static and bool(own.visible),
        _says("the host's is visible to other files, and this one is not"),
    ),
    _Rule(
        lambda own: not own.meant and own.relinked,
        lambda own: (
            f"the host calls it {as_text(own.local[0].name)}, as one of another linkage, and nothing says that it is "
            f"this file's; compile host and patch with -g"
        ),
    ),
    _Rule(lambda own: not own.meant, _why_another_file),
)
"""Why nobody can tell whether the host's is the patch's, in the order in which reasons are given."""


def _row(own: _Own, reason: str, names: Mapping[int, Iterable[bytes]], slide: int) -> Replacement:
    name, candidates = own.symbol.name, own.meant or own.candidates
    copies = [
        HostCopy(address, address + slide, tuple(map(as_text, sorted(names.get(address, (name,))))))
        for address in sorted({candidate.address for candidate in candidates})
    ]
    return Replacement(
        as_text(name),
        own.input.name,
        own.symbol.static,
        min(own.addresses),
        tuple(copies),
        own.is_called_by_name,
        reason,
        own.without_code.users if own.without_code is not None and not own.candidates else (),
    )


def _merged(rows: Iterable[Replacement]) -> Iterator[Replacement]:
    """*rows* with one of several copies that the patch has of one function: the first."""
    seen = set()
    for row in rows:
        key = (row.name, row.copies)
        if row.reason or key not in seen:
            yield row
        seen.add(key)


def _told_apart(rows: Sequence[Replacement]) -> Iterator[Replacement]:
    """*rows*, undecided where the host has other functions at the same address.

    Identical code folding gives one body to functions that are no longer alike, and a call of its address does not say
    which of them is meant. Aliases (Itanium C1 and C2, GNU's attribute) are one in the patch as well.
    """
    places: dict[tuple[bytes, int], set[int]] = {}
    for row in rows:
        for copy in row.copies:
            places.setdefault((_lasting_name(row.name), copy.static_address), set()).add(row.address)
    for row in rows:
        yield row if row.reason else row._replace(reason=_why_not_apart(row, places))


def _lasting_name(name: str) -> bytes:
    """*name*, of rustc's without what ThinLTO appends anew after each edit."""
    spelling = as_bytes(name)
    return base_name(spelling) if b".llvm." in spelling and is_rust_name(spelling) else spelling


def _is_called_so(row: Replacement, copy: HostCopy, name: str) -> bool:
    """Whether *name*, of *copy*, is the host's of the function of *row*, which has another linkage there.

    Or which link-time optimisation gave that name, and no other function of that name in the source lies there.
    """
    if row.name in copy.names:
        return False
    by_link = [each for each in copy.names if unrenamed(as_bytes(each)) == as_bytes(row.name)]
    return by_link == [name] or as_bytes(name) in relinked_function(as_bytes(row.name))


def _why_not_apart(row: Replacement, places: Mapping[tuple[bytes, int], set[int]]) -> str:
    """Why a call of an address of *row* need not mean it; *places*: what each name at an address is in the patch."""
    if any(len(places[_lasting_name(row.name), copy.static_address]) > 1 for copy in row.copies):
        return "several objects of the patch have one of that name, and of one file's name"
    others = {
        name: None
        for copy in row.copies
        for name in copy.names
        if places.get((_lasting_name(name), copy.static_address)) != {row.address}
        and not _is_called_so(row, copy, name)
    }
    return f"the host has {', '.join(others)} at the same address" if others else ""
