"""Rows: what ``typing.NamedTuple`` is, to readers and type checkers, and made in a tenth of the time.

``NamedTuple`` compiles source code for each class, and a dataclass loads ``inspect`` besides: for the sixty classes
that a command meets they take as long as its work, and people run this on every save. A class of which many rows are
made gets such a constructor when it shows.
"""

from __future__ import annotations

__all__ = ["Row"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
    from typing import NamedTuple as Row
else:
    from collections import namedtuple

    try:
        from _collections import _tuplegetter as field  # what named tuples have
    except ImportError:
        from operator import itemgetter

        def field(index: int, doc: str | None) -> property:
            return property(itemgetter(index), doc=doc)

    MANY = 256
    """Rows of a class from which a constructor as named tuples have it pays, which is five times as fast."""

    class _RowType(type):
        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
            if bases == (tuple,) or "__annotations__" not in namespace:  # Row itself; methods for a row's fields
                return super().__new__(cls, name, bases, namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = {name: namespace.pop(name) for name in fields if name in namespace}
            namespace.update((name, field(index, None)) for index, name in enumerate(fields))
            row = super().__new__(cls, name, bases, {**namespace, "__slots__": ()})
            row._fields = row.__match_args__ = fields
            row._field_defaults = defaults
            row._made = 0
            return row

    class Row(tuple, metaclass=_RowType):
        """A tuple whose fields have names, as its class annotates them, and may have defaults."""

        __slots__ = ()

        def __new__(cls, *values: Any, **named: Any) -> Any:
            fields = cls._fields
            cls._made += 1
            if cls._made == MANY and fields and "__new__" not in cls.__dict__:
                cls.__new__ = namedtuple(cls.__name__, fields, defaults=cls._field_defaults.values()).__new__
            if named or len(values) != len(fields):
                left = fields[len(values) :]
                named = {
                    **{name: cls._field_defaults[name] for name in left if name in cls._field_defaults},
                    **named,
                }
                if len(values) > len(fields) or named.keys() != set(left):
                    raise TypeError(f"{cls.__name__} takes {', '.join(fields)}")
                values += tuple([named[name] for name in left])
            return tuple.__new__(cls, values)

        def __repr__(self) -> str:
            pairs = zip(self._fields, self, strict=True)
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **named: Any) -> Any:
            row = tuple.__new__(type(self), map(named.pop, self._fields, self))
            if named:
                raise TypeError(f"{type(self).__name__} has no {', '.join(named)}")
            return row
