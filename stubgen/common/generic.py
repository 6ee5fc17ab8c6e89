"""``typing.Generic`` for type checkers; when a program runs nothing, where ``typing`` takes 3 ms to import."""

from __future__ import annotations

__all__ = ["Generic"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic
else:

    class _Generic(type):
        def __getitem__(cls, _: object) -> type:
            return cls

    class Generic(metaclass=_Generic):
        """A class that takes type parameters, and does not look at them."""

        __slots__ = ()
