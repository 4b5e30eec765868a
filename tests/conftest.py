"""Test profiles, and one loud line when kernel tests cannot run here.

Rule: a test that is skipped for want of privileges is never skipped silently.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from podfence.kernel import netns

SLOW_DRAWS = [HealthCheck.too_slow, HealthCheck.data_too_large]
"""A random cluster takes a few hundred draws, which these checks take for a mistake."""
settings.register_profile(
    "ci",
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=SLOW_DRAWS,
)
settings.register_profile(
    "long", max_examples=5000, deadline=None, suppress_health_check=SLOW_DRAWS
)
settings.load_profile(os.environ.get("PODFENCE_HYPOTHESIS", "ci"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a shell ignores interrupts, and its children would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

KERNEL_TOOLS = ("nft", "ip", "unshare")


@functools.cache
def kernel_obstacle() -> str:
    """Why kernel tests cannot run on this machine; empty when they can."""
    missing = [tool for tool in KERNEL_TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not found (apt-get install nftables iproute2 util-linux)"
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    attempt = subprocess.run(
        ["unshare", *as_root, "--net", "--mount", "nft", "list", "ruleset"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if attempt.returncode == 0:
        return ""
    reason = (attempt.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"no network namespace with nftables: {reason}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    kernel = [item for item in items if item.get_closest_marker("kernel")]
    if kernel and kernel_obstacle():
        skip = pytest.mark.skip(reason=f"kernel tests cannot run: {kernel_obstacle()}")
        for item in kernel:
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    skipped = sum("kernel tests cannot run" in str(report.longrepr) for report in reports)
    if skipped:
        terminalreporter.write_line(
            f"!!! {skipped} KERNEL TESTS WERE SKIPPED: {kernel_obstacle()}", red=True, bold=True
        )


@pytest.fixture
def private_network() -> Iterator[None]:
    """Puts this thread into a new network namespace, and back afterwards; needs root."""
    if os.geteuid() != 0:
        pytest.skip("only root can come back from a network namespace")
    home = netns.current()
    netns.join(netns.create())
    try:
        yield
    finally:
        netns.join(home)
        os.close(home)
