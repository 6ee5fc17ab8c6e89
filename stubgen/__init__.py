"""Makes a hot patch's calls land: ARM64 trampoline objects and link plans for ELF and Mach-O.

Each phase is a package or a module of its name and returns one frozen dataclass that the next one takes::

    host -> resolve -> bind -> stub             stub.o            build.py runs these
    capture -> linkplan ------> link -> check   the patch         link.py runs all

``image`` gives the phases one vocabulary for both formats; ``elf`` and ``macho`` know the formats and nothing
about stubs; ``symbols`` knows names; ``common`` and ``errors`` are under all of them. docs/architecture.md says who may
import whom.

In one call::

    content = stubgen.create_undefined_symbol_stub("app", ["patch.o"], aslr_reference=0x5500000c54)

Names below are imported when they are first used, because people run this on every save.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # as typing has it, without importing typing at each captured link
if TYPE_CHECKING:
    from stubgen.build import Built, StubBuilder, create_undefined_symbol_stub
    from stubgen.capture import Capture, newest_capture
    from stubgen.check import Checked, Finding, check_patch
    from stubgen.errors import StubgenError
    from stubgen.link import Linked, link_patch
    from stubgen.linkplan import LinkerOs, LinkPlan, build_link_plan, linker_os_for_host
    from stubgen.resolve.resolution import Resolution
    from stubgen.resolve.verdicts import DataPolicy, Decision, Verdict
    from stubgen.session import Session
    from stubgen.stub.find import Stub, find_stubs
    from stubgen.stub.verify import Verified, verify_object

_HOMES = {
    "Built": "build",
    "Capture": "capture",
    "Checked": "check",
    "DataPolicy": "resolve.verdicts",
    "Decision": "resolve.verdicts",
    "Finding": "check",
    "LinkPlan": "linkplan",
    "Linked": "link",
    "LinkerOs": "linkplan",
    "Resolution": "resolve.resolution",
    "Stub": "stub.find",
    "StubBuilder": "build",
    "StubgenError": "errors",
    "Verdict": "resolve.verdicts",
    "Verified": "stub.verify",
    "Session": "session",
    "build_link_plan": "linkplan",
    "check_patch": "check",
    "create_undefined_symbol_stub": "build",
    "find_stubs": "stub.find",
    "link_patch": "link",
    "linker_os_for_host": "linkplan",
    "newest_capture": "capture",
    "verify_object": "stub.verify",
}
"""Public name -> the module it lives in."""

__all__ = [
    "Built",
    "Capture",
    "Checked",
    "DataPolicy",
    "Decision",
    "Finding",
    "LinkPlan",
    "Linked",
    "LinkerOs",
    "Resolution",
    "Session",
    "Stub",
    "StubBuilder",
    "StubgenError",
    "Verdict",
    "Verified",
    "__version__",
    "build_link_plan",
    "check_patch",
    "create_undefined_symbol_stub",
    "find_stubs",
    "link_patch",
    "linker_os_for_host",
    "newest_capture",
    "verify_object",
]


def __getattr__(name: str) -> object:
    """The public object *name*, from its module."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'stubgen' has no attribute '{name}'")
    return getattr(import_module(f"stubgen.{_HOMES[name]}"), name)
