"""Makes a hot patch's calls land: ARM64 trampoline objects and link plans for ELF and Mach-O.

From a builder, in whose folder ``captured`` a build recorded its commands::

    builder = stubgen.StubBuilder("shop")
    made = stubgen.patch(builder, "captured", ["checkout.c"], "patch.so", aslr_reference=0x5500000acc)

::

    patch, link_patch, link_generation     a patch: of what changed, of objects, the next one of a process
    recompile, StubBuilder, plan_link      the steps of it
    Options, TableOptions, SessionOptions  what can be asked for
    check_patch, read_identity             what a linked patch is
    explain_symbols                        why a symbol has its verdict
    find_reach, encode_jump_table          who still calls the old code; what a runtime is told
    Policy                                 rules of your own
    StubgenError                           everything that is raised on purpose

What ``dir(stubgen)`` lists is the library: its names, parameters and exceptions follow Semantic Versioning. Everything
else, modules and their paths included, may change with any release.

For whoever changes it: each phase is a package or a module of its name and returns one record that the next takes::

    host -> resolve -> bind -> stub             stub.o            build.py runs these
    capture -> linkplan ------> link -> check   the patch         link.py runs all
                     compare -> jumptable       the jump table

docs/architecture.md says who may import whom. Names are imported when they are first used, because people run this on
every save.
"""

from __future__ import annotations

__version__ = "1.0.0"

TYPE_CHECKING = False  # as typing has it, without importing typing at each captured link
if TYPE_CHECKING:
    from stubgen.build import Built, StubBuilder, create_undefined_symbol_stub
    from stubgen.capture import Capture, Compile, newest_capture, read_captures, read_compiles
    from stubgen.check import Checked, check_patch
    from stubgen.common.cancellation import Cancellation
    from stubgen.compileplan.recompile import Recompiled, RecompiledUnit, recompile
    from stubgen.errors import (
        AnchorRefusal,
        BrokenLibrary,
        BuildIdRefusal,
        Cancelled,
        CompilerFailed,
        FieldOverflow,
        InputError,
        LinkerFailed,
        MalformedInput,
        OutputFailure,
        PatchRefusal,
        PlanRefusal,
        Refusal,
        StubgenError,
        SymbolRefusal,
        SystemFailure,
        UnreadableInput,
        UnsupportedInput,
        UsageError,
        VerificationRefusal,
    )
    from stubgen.explain import Explanation, explain_symbols
    from stubgen.finding import Finding
    from stubgen.generations.linking import LinkedGeneration, link_generation
    from stubgen.generations.opening import SessionOptions
    from stubgen.generations.state import PatchSession, read_session
    from stubgen.generations.undoing import link_undo
    from stubgen.host import Host, open_host
    from stubgen.host.previous import PreviousPatch
    from stubgen.host.slide import Slide, slide_from_anchor, slide_from_value
    from stubgen.image import Image
    from stubgen.image.identity import HostIdentity, PatchIdentity, read_identity
    from stubgen.image.opening import open_image
    from stubgen.jumptable import JumpTable, TableOptions
    from stubgen.jumptable.formats import encode_jump_table
    from stubgen.keywords import Options
    from stubgen.link import Linked, link_patch
    from stubgen.linkplan import (
        Action,
        CapturedCommand,
        Edit,
        LinkerOs,
        LinkPlan,
        PatchRequest,
        build_link_plan,
        linker_os_for_host,
        plan_link,
    )
    from stubgen.options import BtiPolicy
    from stubgen.origin.account import Account, Definition
    from stubgen.origin.sources import Origin, Source
    from stubgen.patching import Patched, patch
    from stubgen.policies import FinishedPatch, Policy, load_policy
    from stubgen.reach import Reach, Reached, find_reach
    from stubgen.replaced import HostCopy, Replaced, Replacement
    from stubgen.resolve.resolution import Resolution
    from stubgen.resolve.rulings import PolicyChange, RefuseSymbol, UseAddress, UseLoader, UseName
    from stubgen.resolve.verdicts import DataPolicy, Decision, TlsPolicy, Verdict
    from stubgen.session import Session
    from stubgen.stub.facts import LibraryFacts
    from stubgen.stub.find import Stub, find_stubs
    from stubgen.stub.verify import Verified, verify_object

_HOMES = {
    "build": ("Built", "StubBuilder", "create_undefined_symbol_stub"),
    "capture": ("Capture", "Compile", "newest_capture", "read_captures", "read_compiles"),
    "check": ("Checked", "check_patch"),
    "common.cancellation": ("Cancellation",),
    "compileplan.recompile": ("Recompiled", "RecompiledUnit", "recompile"),
    "errors": (
        "AnchorRefusal",
        "BrokenLibrary",
        "BuildIdRefusal",
        "Cancelled",
        "CompilerFailed",
        "FieldOverflow",
        "InputError",
        "LinkerFailed",
        "MalformedInput",
        "OutputFailure",
        "PatchRefusal",
        "PlanRefusal",
        "Refusal",
        "StubgenError",
        "SymbolRefusal",
        "SystemFailure",
        "UnreadableInput",
        "UnsupportedInput",
        "UsageError",
        "VerificationRefusal",
    ),
    "finding": ("Finding",),
    "generations.linking": ("LinkedGeneration", "link_generation"),
    "generations.opening": ("SessionOptions",),
    "generations.state": ("PatchSession", "read_session"),
    "generations.undoing": ("link_undo",),
    "host": ("Host", "open_host"),
    "host.previous": ("PreviousPatch",),
    "host.slide": ("Slide", "slide_from_anchor", "slide_from_value"),
    "image": ("Image",),
    "image.identity": ("HostIdentity", "PatchIdentity", "read_identity"),
    "image.opening": ("open_image",),
    "jumptable": ("JumpTable", "TableOptions"),
    "jumptable.formats": ("encode_jump_table",),
    "link": ("Linked", "link_patch"),
    "linkplan": (
        "Action",
        "CapturedCommand",
        "Edit",
        "LinkPlan",
        "LinkerOs",
        "PatchRequest",
        "build_link_plan",
        "linker_os_for_host",
        "plan_link",
    ),
    "explain": ("Explanation", "explain_symbols"),
    "keywords": ("Options",),
    "options": ("BtiPolicy",),
    "origin.account": ("Account", "Definition"),
    "origin.sources": ("Origin", "Source"),
    "patching": ("Patched", "patch"),
    "policies": ("FinishedPatch", "Policy", "load_policy"),
    "reach": ("Reach", "Reached", "find_reach"),
    "replaced": ("HostCopy", "Replaced", "Replacement"),
    "resolve.resolution": ("Resolution",),
    "resolve.rulings": ("PolicyChange", "RefuseSymbol", "UseAddress", "UseLoader", "UseName"),
    "resolve.verdicts": ("DataPolicy", "Decision", "TlsPolicy", "Verdict"),
    "session": ("Session",),
    "stub.facts": ("LibraryFacts",),
    "stub.find": ("Stub", "find_stubs"),
    "stub.verify": ("Verified", "verify_object"),
}
"""Module -> the public names that it defines."""

__all__ = [
    "Account",
    "Action",
    "AnchorRefusal",
    "BrokenLibrary",
    "BtiPolicy",
    "BuildIdRefusal",
    "Built",
    "Cancellation",
    "Cancelled",
    "Capture",
    "CapturedCommand",
    "Checked",
    "Compile",
    "CompilerFailed",
    "DataPolicy",
    "Decision",
    "Definition",
    "Edit",
    "Explanation",
    "FieldOverflow",
    "Finding",
    "FinishedPatch",
    "Host",
    "HostCopy",
    "HostIdentity",
    "Image",
    "InputError",
    "JumpTable",
    "LibraryFacts",
    "LinkPlan",
    "Linked",
    "LinkedGeneration",
    "LinkerFailed",
    "LinkerOs",
    "MalformedInput",
    "Options",
    "Origin",
    "OutputFailure",
    "PatchIdentity",
    "PatchRefusal",
    "PatchRequest",
    "PatchSession",
    "Patched",
    "PlanRefusal",
    "Policy",
    "PolicyChange",
    "PreviousPatch",
    "Reach",
    "Reached",
    "Recompiled",
    "RecompiledUnit",
    "Refusal",
    "RefuseSymbol",
    "Replaced",
    "Replacement",
    "Resolution",
    "Session",
    "SessionOptions",
    "Slide",
    "Source",
    "Stub",
    "StubBuilder",
    "StubgenError",
    "SymbolRefusal",
    "SystemFailure",
    "TableOptions",
    "TlsPolicy",
    "UnreadableInput",
    "UnsupportedInput",
    "UsageError",
    "UseAddress",
    "UseLoader",
    "UseName",
    "Verdict",
    "VerificationRefusal",
    "Verified",
    "__version__",
    "build_link_plan",
    "check_patch",
    "create_undefined_symbol_stub",
    "encode_jump_table",
    "explain_symbols",
    "find_reach",
    "find_stubs",
    "link_generation",
    "link_patch",
    "link_undo",
    "linker_os_for_host",
    "load_policy",
    "newest_capture",
    "open_host",
    "open_image",
    "patch",
    "plan_link",
    "read_captures",
    "read_compiles",
    "read_identity",
    "read_session",
    "recompile",
    "slide_from_anchor",
    "slide_from_value",
    "verify_object",
]


def __dir__() -> list[str]:
    """The public names, imported yet or not."""
    return __all__


def __getattr__(name: str) -> object:
    """The public object *name*, from its module."""
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"stubgen.{module}"), name)
    if name == "errors":  # a module of public names alone
        return import_module("stubgen.errors")
    raise AttributeError(f"module 'stubgen' has no attribute '{name}'")
