"""What a builder's policy may say of a needed symbol, in the place of the verdict that was proposed."""

from __future__ import annotations

from collections.abc import Mapping

from stubgen.common.row import Row


class UseAddress(Row):
    """The symbol is at this address in the process, whatever the host has of that name."""

    address: int  # runtime address
    reason: str = ""
    """Why, for reports."""
    data: bool = False  # a variable, read at that address; else a function, branched to


class UseName(Row):
    """The symbol is the host's of another name."""

    name: str  # as the symbol table spells it
    reason: str = ""
    """Why, for reports."""


class UseLoader(Row):
    """The symbol is left undefined: the dynamic loader finds it."""

    reason: str = ""
    """Why, for reports."""


class RefuseSymbol(Row):
    """The patch must not refer to the symbol."""

    reason: str = ""
    """Why, for reports."""


Ruling = UseAddress | UseName | UseLoader | RefuseSymbol


class Ruled(Row):
    """A ruling, and whose it is."""

    ruling: Ruling
    policy: str  # its name

    @property
    def remark(self) -> str:
        """Who said so, and why, for a person."""
        return f"policy {self.policy}: {self.ruling.reason or _TITLES[type(self.ruling)]}"


_TITLES: Mapping[type, str] = {
    UseAddress: "it is at another address",
    UseName: "it has another name in the host",
    UseLoader: "it is left to the loader",
    RefuseSymbol: "it is refused",
}


class PolicyChange(Row):
    """Something that a policy changed."""

    policy: str
    """The policy's name."""
    what: str
    """``verdict`` or ``link``."""
    name: str
    """The symbol; empty for the link."""
    before: str
    """The verdict that was proposed, or the words that went."""
    after: str
    """The verdict, or the words that came."""
    reason: str
    """Why."""
