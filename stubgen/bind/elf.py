"""How each AArch64 ELF relocation to a host symbol is bound. Twin of ``bind_macho``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stubgen.elf import constants as c
from stubgen.elf import relocations as r
from stubgen.elf.editor import ObjectEditor, Table
from stubgen.elf.reader import Symbols
from stubgen.image import Image, Kind
from stubgen.image.elf import ElfImage
from stubgen.resolve.verdicts import Form, Target
from stubgen.stub.slots import Binder, BoundObject
from stubgen.symbols.versions import plain_name

SLOT_LOADS = {
    r.R_AARCH64_ADR_GOT_PAGE: r.R_AARCH64_ADR_PREL_PG_HI21,
    r.R_AARCH64_LD64_GOT_LO12_NC: r.R_AARCH64_LDST64_ABS_LO12_NC,
    r.R_AARCH64_GOT_LD_PREL19: r.R_AARCH64_LD_PREL_LO19,
    r.R_AARCH64_GOTPCREL32: r.R_AARCH64_PREL32,
}
"""A reference to the symbol's GOT entry -> the same to its slot."""

THREAD_LOADS = {
    r.R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21: (Form.THREAD_OFFSET, r.R_AARCH64_ADR_PREL_PG_HI21),
    r.R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC: (Form.THREAD_OFFSET, r.R_AARCH64_LDST64_ABS_LO12_NC),
    r.R_AARCH64_TLSIE_LD_GOTTPREL_PREL19: (Form.THREAD_OFFSET, r.R_AARCH64_LD_PREL_LO19),
    r.R_AARCH64_TLSDESC_ADR_PAGE21: (Form.DESCRIPTOR, r.R_AARCH64_ADR_PREL_PG_HI21),
    r.R_AARCH64_TLSDESC_LD64_LO12: (Form.DESCRIPTOR, r.R_AARCH64_LDST64_ABS_LO12_NC),
    r.R_AARCH64_TLSDESC_ADD_LO12: (Form.DESCRIPTOR, r.R_AARCH64_ADD_ABS_LO12_NC),
    r.R_AARCH64_TLSDESC_LD_PREL19: (Form.DESCRIPTOR, r.R_AARCH64_LD_PREL_LO19),
    r.R_AARCH64_TLSDESC_ADR_PREL21: (Form.DESCRIPTOR, r.R_AARCH64_ADR_PREL_LO21),
}
"""A reference to a thread-local's GOT entry or descriptor -> (what the slot holds, the same to the slot)."""


KEPT_PAGES = {
    r.R_AARCH64_ADR_PREL_PG_HI21: r.R_AARCH64_LD_PREL_LO19,
    r.R_AARCH64_ADR_PREL_PG_HI21_NC: r.R_AARCH64_LD_PREL_LO19,
}
"""``adrp`` of a variable that the patch defines too -> ``ldr`` of the whole address, from a slot within 1 MiB."""

KEPT_OFFSETS = {
    r.R_AARCH64_ADD_ABS_LO12_NC: 0,
    r.R_AARCH64_LDST8_ABS_LO12_NC: 0,
    r.R_AARCH64_LDST16_ABS_LO12_NC: 1,
    r.R_AARCH64_LDST32_ABS_LO12_NC: 2,
    r.R_AARCH64_LDST64_ABS_LO12_NC: 3,
    r.R_AARCH64_LDST128_ABS_LO12_NC: 4,
}
"""The accesses that follow -> log2 bytes; their immediate becomes the addend alone, whichever ``adrp`` they follow."""


class Immediate(NamedTuple):
    """Which bits of the thread offset a local-exec instruction holds in its 12-bit immediate."""

    shift: int  # of the offset's first bit
    scale: int  # log2 bytes of the access
    limit: int  # the offset must be below; 0: unchecked


THREAD_IMMEDIATES = {
    r.R_AARCH64_TLSLE_ADD_TPREL_HI12: Immediate(12, 0, 1 << 24),
    r.R_AARCH64_TLSLE_ADD_TPREL_LO12: Immediate(0, 0, 1 << 12),
    r.R_AARCH64_TLSLE_ADD_TPREL_LO12_NC: Immediate(0, 0, 0),
    r.R_AARCH64_TLSLE_LDST8_TPREL_LO12: Immediate(0, 0, 1 << 12),
    r.R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC: Immediate(0, 0, 0),
    r.R_AARCH64_TLSLE_LDST16_TPREL_LO12: Immediate(0, 1, 1 << 12),
    r.R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC: Immediate(0, 1, 0),
    r.R_AARCH64_TLSLE_LDST32_TPREL_LO12: Immediate(0, 2, 1 << 12),
    r.R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC: Immediate(0, 2, 0),
    r.R_AARCH64_TLSLE_LDST64_TPREL_LO12: Immediate(0, 3, 1 << 12),
    r.R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC: Immediate(0, 3, 0),
    r.R_AARCH64_TLSLE_LDST128_TPREL_LO12: Immediate(0, 4, 1 << 12),
    r.R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC: Immediate(0, 4, 0),
}
"""Local-exec: the offset's bits are written in place, which also takes away what ``-shared`` rejects."""

BRANCHES = frozenset(
    {r.R_AARCH64_CALL26, r.R_AARCH64_JUMP26, r.R_AARCH64_PLT32, r.R_AARCH64_CONDBR19, r.R_AARCH64_TSTBR14}
)
"""These reach a function's trampoline as they are."""

PLACE_RELATIVE = frozenset({r.R_AARCH64_PREL64, r.R_AARCH64_PREL32, r.R_AARCH64_PREL16})
"""A distance to the symbol, as unwind tables have it: to a function, its trampoline will do."""

PAIRS = {
    r.R_AARCH64_ADR_PREL_PG_HI21: r.R_AARCH64_ADR_PREL_PG_HI21,
    r.R_AARCH64_ADR_PREL_PG_HI21_NC: r.R_AARCH64_ADR_PREL_PG_HI21,
    r.R_AARCH64_ADD_ABS_LO12_NC: r.R_AARCH64_LDST64_ABS_LO12_NC,
}
"""``adrp``+``add``, the address itself -> ``adrp``+``ldr`` of the slot."""

ADVICE = {
    **dict.fromkeys(
        (
            r.R_AARCH64_ADR_PREL_PG_HI21,
            r.R_AARCH64_ADR_PREL_PG_HI21_NC,
            r.R_AARCH64_ADD_ABS_LO12_NC,
            r.R_AARCH64_LDST8_ABS_LO12_NC,
            r.R_AARCH64_LDST16_ABS_LO12_NC,
            r.R_AARCH64_LDST32_ABS_LO12_NC,
            r.R_AARCH64_LDST64_ABS_LO12_NC,
            r.R_AARCH64_LDST128_ABS_LO12_NC,
            r.R_AARCH64_ADR_PREL_LO21,
            r.R_AARCH64_LD_PREL_LO19,
        ),
        "the access is PC-relative and the host is out of its reach; compile with -fPIC "
        "(clang: also -fno-direct-access-external-data)",
    ),
    **dict.fromkeys(
        (r.R_AARCH64_LD64_GOTPAGE_LO15, r.R_AARCH64_LD64_GOTOFF_LO15, r.R_AARCH64_GOTREL64, r.R_AARCH64_GOTREL32),
        "it counts from the GOT, where a slot cannot be; compile with -fPIC instead of -fpic",
    ),
    **dict.fromkeys(
        range(r.R_AARCH64_MOVW_UABS_G0, r.R_AARCH64_MOVW_SABS_G2 + 1),
        "the large code model's absolute moves are not bound; compile with -fPIC -mcmodel=small",
    ),
    **dict.fromkeys(
        (r.R_AARCH64_ABS32, r.R_AARCH64_ABS16), "a runtime address does not fit its field; use a pointer-sized word"
    ),
    **dict.fromkeys(
        range(r.R_AARCH64_TLSGD_ADR_PREL21, r.R_AARCH64_TLSLD_ADD_LO12_NC + 1),
        "this general- or local-dynamic form calls __tls_get_addr; compile with -mtls-dialect=desc",
    ),
}
"""Codes that cannot be bound -> why, and the compiler flag that helps."""

_ADD = 0x91000000  # add xd, xn, #0 (Arm ARM, ADD (immediate), 64-bit)
_LOAD = 0xF9400000  # ldr xd, [xn] (Arm ARM, LDR (immediate), 64-bit, unsigned offset)
_LITERAL = 0x58000000  # ldr xt, label (Arm ARM, LDR (literal), 64-bit)
_REGISTERS = 0x3FF  # xd and xn: the same bits in both


def bind_object(image: Image, binder: Binder) -> BoundObject:
    """The bound copy of one object."""
    assert isinstance(image, ElfImage)  # noqa: S101  # bind() pairs them
    if image.file.symbols is None:  # some members of C libraries have neither code nor symbols
        return BoundObject(image.name, bytes(image.file.view.data), changed=False)
    editor = ObjectEditor(image.file)
    _protect_own(editor)
    bindable = _bindable(editor, binder)
    if bindable:
        run = _Run(editor, binder, bindable)
        for table in editor.tables:
            run.refuse_shared_sections(table)
            run.walk(table)
        run.settle_symbols()
    content = editor.finish()
    return BoundObject(image.name, content, content != bytes(image.file.view.data))


def _protect_own(editor: ObjectEditor) -> None:
    """Bind what the object defines to itself.

    A host that exports the old version of a changed function would be found first by the loader, and the patch
    would go on calling it. Nor can code made for an executable (-fPIE) name a symbol that may bind elsewhere.
    """
    symbols = editor.symbols
    for index, shndx in enumerate(symbols.st_shndx):
        scope = symbols.st_info[index] >> 4
        if shndx != c.SHN_UNDEF and scope in (c.STB_GLOBAL, c.STB_WEAK) and not symbols.st_other[index] & 3:
            editor.protect(index)


class _Bindable(NamedTuple):
    """What a symbol of the object stands for."""

    name: bytes
    target: Target
    base: int  # bytes from the target's start to where the symbol points


def _bindable(editor: ObjectEditor, binder: Binder) -> dict[int, _Bindable]:
    """Symbol index -> what it stands for, for the object's references to the host.

    A kept variable that has its section to itself is also meant by that section's symbol, which is how
    compilers name local variables. So are thread-locals that lie in their section as they do in the host: GCC
    reaches several from one anchor.
    """
    symbols = editor.symbols
    found: dict[int, _Bindable] = {}
    kept: dict[int, list[int]] = {}
    variables: dict[int, dict[int, int | None]] = {}  # section -> offset -> how far off the host's is
    for index, shndx in enumerate(symbols.st_shndx):
        kind = symbols.st_info[index] & 0xF
        variable = kind in (c.STT_OBJECT, c.STT_COMMON, c.STT_TLS) and not _is_place(symbols, index)
        if variable and shndx != c.SHN_UNDEF:
            variables.setdefault(shndx, {}).setdefault(symbols.st_value[index], None)
        if index and (shndx == c.SHN_UNDEF or variable):
            name = symbols.name(index)
            target = binder.targets.get(name)
            if target is not None and (shndx == c.SHN_UNDEF or target.kept):
                found[index] = _Bindable(name, target, 0)
                if shndx != c.SHN_UNDEF:
                    kept.setdefault(shndx, []).append(index)
                    variables[shndx][symbols.st_value[index]] = target.value - symbols.st_value[index]
    if kept:
        for index, shndx in enumerate(symbols.st_shndx):
            if (
                shndx in kept
                and _is_place(symbols, index)
                and _is_laid_out_alike(found[kept[shndx][0]], variables[shndx])
            ):
                owner = kept[shndx][0]
                base = symbols.st_value[index] - symbols.st_value[owner]
                found[index] = found[owner]._replace(base=base)
    return found


def _is_place(symbols: Symbols, index: int) -> bool:
    """Whether a symbol stands for a place in its section and not for a variable: ``.LANCHOR0``, ``$d``."""
    kind = symbols.st_info[index] & 0xF
    local_label = kind == c.STT_TLS and symbols.name(index).startswith((b".L", b"$"))
    return kind in (c.STT_SECTION, c.STT_NOTYPE) or local_label


def _is_laid_out_alike(owner: _Bindable, variables: dict[int, int | None]) -> bool:
    """Whether the host's variables are where the section has them, seen from one of them."""
    distances = set(variables.values())
    alone = len(variables) == 1 or owner.target.kind is Kind.THREAD_LOCAL
    return alone and None not in distances and len(distances) == 1


class _Run:
    """Binding one object."""

    def __init__(self, editor: ObjectEditor, binder: Binder, bindable: dict[int, _Bindable]) -> None:
        self.editor = editor
        self.binder = binder
        self.bindable = bindable
        self.slot_symbols: dict[bytes, int] = {}
        self.paired: set[bytes] = set()
        self.rules: dict[Kind, Callable[[_Place], bool]] = {
            Kind.FUNCTION: self._function,
            Kind.DATA: self._address,
            Kind.THREAD_LOCAL: self._thread_local,
        }

    def walk(self, table: Table) -> None:
        """Bind every relocation of one section."""
        self.paired = self._paired(table)
        allocated = table.target.header.sh_flags & c.SHF_ALLOC
        for index, symbol in enumerate(table.symbol):
            if symbol not in self.bindable:
                continue
            name, target, base = self.bindable[symbol]
            place = _Place(table, index, symbol, name, target, table.kind[index], table.r_addend[index] + base)
            if not allocated:
                if target.kind is Kind.DATA:  # debug information: nothing there for a linker to find
                    table.drop(index)
            elif not self.rules[target.kind](place):
                reason = ADVICE.get(place.kind, "no rule binds this relocation")
                where = f"{self.editor.file.name}: {table.target.name}+{place.offset:#x}"
                self.binder.refuse(where, r.NAMES.get(place.kind, f"relocation {place.kind}"), name, reason)

    def refuse_shared_sections(self, table: Table) -> None:
        """Refuse what reaches a kept variable by way of a section that it shares with others.

        Compilers name local variables by section and offset. GCC's section anchors and LLVM's merged globals
        then reach several variables from one address, and which one an access means cannot be proven.
        """
        kept = {
            self.editor.symbols.st_shndx[symbol]: name
            for symbol, (name, target, _) in self.bindable.items()
            if target.kept and self.editor.symbols.st_shndx[symbol] != c.SHN_UNDEF
        }
        if not kept or not table.target.header.sh_flags & c.SHF_ALLOC:
            return
        places: dict[int, list[int]] = {}
        for index, symbol in enumerate(table.symbol):
            home = self.editor.symbols.st_shndx[symbol]
            if symbol not in self.bindable and home in kept and _is_place(self.editor.symbols, symbol):
                places.setdefault(home, []).append(index)
        for home, indexes in places.items():
            where = f"{self.editor.file.name}: {table.target.name}+{table.r_offset[indexes[0]]:#x}"
            if len(indexes) > 1:
                where += f" and {len(indexes) - 1} more"
            code = table.kind[indexes[0]]
            section = self.editor.file.sections[home].name
            reason = f"it counts from {section}, which holds more than this variable; compile with -fdata-sections"
            if self.editor.file.sections[home].header.sh_flags & c.SHF_TLS:
                reason = f"it counts from {section}, which is laid out otherwise in the host; compile with "
                reason += "-fno-section-anchors"
            self.binder.refuse(where, r.NAMES.get(code, f"relocation {code}"), kept[home], reason)

    def settle_symbols(self) -> None:
        """Leave no undefined symbol behind that only an address could answer.

        An undefined symbol that no relocation names is still looked for in archives and still listed in
        the patch's dynamic symbols; under the name of its slot it is found in the stub object.
        """
        for symbol, (name, target, _) in self.bindable.items():
            if self._owns_slot(symbol, target):
                self.editor.rename(symbol, self.binder.slot(name, target, target.form, 0))
            elif target.kind is Kind.FUNCTION and plain_name(name) != name:
                self.editor.rename(symbol, plain_name(name))

    def _function(self, place: _Place) -> bool:
        if place.kind in BRANCHES or place.kind in PLACE_RELATIVE or place.table.target.name == ".eh_frame":
            return True
        return self._address(place)

    def _address(self, place: _Place) -> bool:
        """Bind a use of the symbol's address."""
        if place.kind == r.R_AARCH64_ABS64:
            value = (place.target.value + place.addend) % (1 << 64)
            self.editor.overwrite(place.table.target, place.offset, value.to_bytes(8, "little"))
            place.table.drop(place.number)
        elif place.kind in SLOT_LOADS:
            self._to_slot(place, Form.ADDRESS, SLOT_LOADS[place.kind])
        elif place.kind in PAIRS and place.name in self.paired:
            if place.kind == r.R_AARCH64_ADD_ABS_LO12_NC:
                registers = self.editor.word(place.table.target, place.offset) & _REGISTERS
                self.editor.overwrite(place.table.target, place.offset, (_LOAD | registers).to_bytes(4, "little"))
            self._to_slot(place, Form.ADDRESS, PAIRS[place.kind])
        else:
            return place.target.kept and self._kept(place)
        return True

    def _kept(self, place: _Place) -> bool:
        """Bind a direct access to a variable of the patch's own to the host's."""
        if place.kind in KEPT_PAGES:
            destination = self.editor.word(place.table.target, place.offset) & 0x1F
            self.editor.overwrite(place.table.target, place.offset, (_LITERAL | destination).to_bytes(4, "little"))
            self._to_slot(place, Form.ADDRESS, KEPT_PAGES[place.kind], addend=0)
            return True
        if place.kind not in KEPT_OFFSETS:
            return False
        scale = KEPT_OFFSETS[place.kind]
        immediate, rest = divmod(place.addend, 1 << scale)
        if rest or not 0 <= immediate < 1 << 12:
            return False
        word = self.editor.word(place.table.target, place.offset) & ~(0xFFF << 10) | immediate << 10
        self.editor.overwrite(place.table.target, place.offset, word.to_bytes(4, "little"))
        place.table.drop(place.number)
        return True

    def _paired(self, table: Table) -> set[bytes]:
        """The symbols whose page this section uses for nothing but ``adrp``+``add``.

        One ``adrp`` may serve several instructions: were one of them a load or store with the symbol's page
        offset in it, that one would read the slot's neighbourhood. Nor may one go with the page of another place
        of the same symbol, whose slot may lie on another page.
        """
        paired: set[bytes] = set()
        others: set[bytes] = set()
        pages: dict[bytes, set[int]] = {}
        adds: dict[bytes, set[int]] = {}
        for index, symbol in enumerate(table.symbol):
            if symbol not in self.bindable:
                continue
            name, kind = self.bindable[symbol].name, table.kind[index]
            is_add = kind == r.R_AARCH64_ADD_ABS_LO12_NC
            if is_add and self.editor.word(table.target, table.r_offset[index]) & ~_REGISTERS != _ADD:
                others.add(name)
            elif kind in PAIRS:
                paired.add(name)
                (adds if is_add else pages).setdefault(name, set()).add(table.r_addend[index])
            elif kind in ADVICE:
                others.add(name)
        others.update(name for name, addends in pages.items() if name in adds and adds[name] - addends)
        return paired - others

    def _thread_local(self, place: _Place) -> bool:
        if place.kind == r.R_AARCH64_TLSDESC_CALL:
            place.table.drop(place.number)
        elif place.kind in THREAD_LOADS:
            form, kind = THREAD_LOADS[place.kind]
            self._to_slot(place, form, kind)
        elif place.kind in THREAD_IMMEDIATES:
            return self._immediate(place)
        else:
            return False
        return True

    def _immediate(self, place: _Place) -> bool:
        """Write the thread offset's bits into a local-exec instruction."""
        shift, scale, limit = THREAD_IMMEDIATES[place.kind]
        offset = place.target.value + place.addend
        if offset < 0 or (limit and offset >= limit) or (offset >> shift) % (1 << scale):
            return False
        word = self.editor.word(place.table.target, place.offset) & ~(0xFFF << 10)
        word |= (offset >> shift & 0xFFF) >> scale << 10
        self.editor.overwrite(place.table.target, place.offset, word.to_bytes(4, "little"))
        place.table.drop(place.number)
        return True

    def _to_slot(self, place: _Place, form: Form, kind: int, addend: int | None = None) -> None:
        """Turn a relocation to the slot of its symbol plus *addend* bytes (by default the relocation's own)."""
        addend = place.addend if addend is None else addend
        slot = self.binder.slot(place.name, place.target, form, addend)
        if form is place.target.form and not addend and self._owns_slot(place.symbol, place.target):
            self.slot_symbols.setdefault(slot, place.symbol)
        elif slot not in self.slot_symbols:
            self.slot_symbols[slot] = self.editor.add_undefined(slot)
        place.table.change(place.number, kind=kind, symbol=self.slot_symbols[slot])

    def _owns_slot(self, symbol: int, target: Target) -> bool:
        """Whether *symbol* itself is renamed to its slot: nothing else in the object can need it."""
        return target.kind is not Kind.FUNCTION and self.editor.symbols.st_shndx[symbol] == c.SHN_UNDEF


class _Place(NamedTuple):
    """One relocation to a host symbol."""

    table: Table
    number: int  # index into the table
    symbol: int
    name: bytes
    target: Target
    kind: int  # R_AARCH64_*
    addend: int  # bytes

    @property
    def offset(self) -> int:
        """Byte offset in the section."""
        return self.table.r_offset[self.number]
