"""Fixed-size records: one definition names the fields, gives their widths, reads them and writes them.

A record is a :class:`~stubgen.common.row.Row` and a :class:`Record` made from it::

    class Dyn(Row):
        d_tag: I64
        d_un: U64

    DYN = Record(Dyn)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial

from stubgen.common.fields import narrow
from stubgen.common.generic import Generic
from stubgen.common.row import Row
from stubgen.common.text import as_text
from stubgen.common.view import BytesLike, View
from stubgen.errors import FieldOverflow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    RowT = TypeVar("RowT", bound=tuple[Any, ...])
else:
    RowT = tuple

__all__ = ["I32", "I64", "U8", "U16", "U32", "U64", "Bytes16", "Field", "Record"]

U8 = int
U16 = int
U32 = int
U64 = int
I32 = int
I64 = int
Bytes16 = bytes
"""16 bytes; what is written may be shorter and is padded with NUL."""

_CODES = {"U8": "B", "U16": "H", "U32": "I", "U64": "Q", "I32": "i", "I64": "q", "Bytes16": "16s"}
"""Annotation -> its code in :mod:`struct`."""


class Field(Row):
    """A field of a record."""

    name: str  # the specification's
    code: str  # struct's
    offset: int  # bytes from the record's start
    size: int  # bytes


class Record(Generic[RowT]):
    """How the fields of *row* lie in a file: one after another, without padding.

    Args:
        row: the fields, annotated with the types above.
        byte_order: ``<`` little-endian, ``>`` big-endian.
    """

    __slots__ = ("_row", "_texts", "fields", "row", "size", "struct")

    def __init__(self, row: type[RowT], byte_order: str = "<") -> None:
        codes = {name: _CODES[annotation] for name, annotation in row.__annotations__.items()}
        self.row = row
        self._row: Callable[[tuple[Any, ...]], RowT] = partial(tuple.__new__, row)
        self.struct = struct.Struct(byte_order + "".join(codes.values()))
        """For loops over millions."""
        self.size = self.struct.size
        """Bytes."""
        fields, offset = [], 0
        for name, code in codes.items():
            fields.append(Field(name, code, offset, struct.calcsize(byte_order + code)))
            offset += fields[-1].size
        self.fields = tuple(fields)
        self._texts = [(field, index) for index, field in enumerate(fields) if field.code == _CODES["Bytes16"]]

    def offset(self, name: str) -> int:
        """Bytes from the record's start to field *name*."""
        return next(field.offset for field in self.fields if field.name == name)

    def read(self, raw: BytesLike, offset: int = 0) -> RowT:
        """The record at byte *offset* of *raw*, which has it whole."""
        return self._row(self.struct.unpack_from(raw, offset))

    def read_all(self, raw: BytesLike) -> Iterator[RowT]:
        """The records of *raw*; a partial one at the end is ignored."""
        return map(self._row, self.struct.iter_unpack(raw[: len(raw) // self.size * self.size]))

    def read_from(self, view: View, offset: int, what: str) -> RowT:
        """The record at byte *offset* of a file; *what* names it in the complaint.

        Raises:
            MalformedInput: it reaches beyond the end of the file.
        """
        return self._row(self.struct.unpack(view.bytes(offset, self.size, what)))

    def pack(self, row: RowT, where: str) -> bytes:
        """*row* as it lies in a file; *where* names it in the complaint.

        Raises:
            FieldOverflow: a value does not fit its field.
        """
        for field, index in self._texts:  # which struct would cut
            value = row[index]
            if len(value) > field.size:
                told = f"{field.name} '{as_text(value)}' is {len(value)} bytes; the field holds {field.size}"
                raise FieldOverflow(f"{where}: {told}")
        try:
            return self.struct.pack(*row)
        except struct.error:
            for field, value in zip(self.fields, row, strict=True):
                if isinstance(value, int):
                    narrow(value, 8 * field.size, field.name, where, signed=field.code.islower())
            raise

    def write_into(self, content: bytearray, offset: int, row: RowT, where: str) -> None:
        """Overwrite the record at byte *offset* of *content*, which has it whole; *where* names it in the complaint.

        Raises:
            FieldOverflow: a value does not fit its field; nothing is written.
        """
        content[offset : offset + self.size] = self.pack(row, where)
