"""Says at the end of a run what was not proven for want of a tool, and how to get it; in CI that is a failure."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings
from tools import PACKAGES, REQUIRED

# An example is late, and examples are few, where the machine is busy. Everybody's examples are the same: what passed
# before a change is what the change is tried with. `--hypothesis-profile exploring` has others each time.
settings.register_profile("exploring", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("exploring"), derandomize=True, database=None)
settings.load_profile("repeatable")

INSTALL = {
    "apt-get install": re.compile(r"apt-get install ([^)]+)\)"),
    "pip install": re.compile(r"pip install ([^)]+)\)"),
}
"""Command -> how a skip's reason names its operands (see tools.py)."""

UNPROVEN = "unproven"
"""The property of a skipped test's report that says what its module would have proven."""

FORBIDDEN = "STUBGEN_REQUIRE_TOOLS=1 forbids to skip"


class Unproven:
    """The tests that were skipped."""

    def __init__(self) -> None:
        self.proofs: Counter[str] = Counter()  # what a module proves -> tests of it that were skipped
        self.reasons: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note a skip, or make it a failure."""
        report = yield
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
            if REQUIRED:
                report.outcome = "failed"
                report.longrepr = f"{reason}\n{FORBIDDEN}"
            else:
                module = getattr(item, "module", None)
                proof = (getattr(module, "__doc__", None) or "").partition("\n")[0]
                report.user_properties.append((UNPROVEN, f"{item.path.name}: {proof}"))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a skip, in the process that tells the user; the test may have run in another."""
        for name, proof in report.user_properties:
            if name == UNPROVEN:
                self.proofs[str(proof)] += 1
                reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
                self.reasons.add(reason.removeprefix("Skipped: "))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Forbid a module to skip itself in CI: all its tests would be gone at once."""
        report = yield
        if report.skipped and REQUIRED:
            report.outcome = "failed"
            report.longrepr = f"{report.longrepr}\n{FORBIDDEN}"
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The block at the end."""
        if not self.proofs:
            return
        terminalreporter.section("not proven here")
        for proof, count in sorted(self.proofs.items()):
            terminalreporter.line(f"{count:4} {proof}")
        for reason in sorted(self.reasons):
            if not any(pattern.search(reason) for pattern in INSTALL.values()):
                terminalreporter.line(f"because: {reason}")
        for command, pattern in INSTALL.items():
            operands = {word for reason in self.reasons for found in pattern.findall(reason) for word in found.split()}
            if operands and command == "apt-get install":  # a test stops at the first tool that it lacks
                operands |= {package for tool, package in PACKAGES.items() if shutil.which(tool) is None}
            if operands:
                terminalreporter.line(f"to prove it: {command} {' '.join(sorted(operands))}")


def pytest_configure(config: pytest.Config) -> None:
    """Watch every run, and leave the user's cache alone."""
    config.pluginmanager.register(Unproven())
    os.environ["STUBGEN_CACHE_DIR"] = ""  # no cache
