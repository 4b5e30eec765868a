"""Test profiles, and one loud line for tests that cannot run here.

Rule: a test that is skipped for want of privileges or programs is never skipped silently.
"""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from podfence.kernel import netns
from tests.apiserver import build
from tests.cluster import build as cluster_build
from tests.support.golang import Unavailable
from tests.web import chromium

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
        timeout=100,
        check=False,
    )
    if attempt.returncode == 0:
        return ""
    reason = (attempt.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"no network namespace with nftables: {reason}"


def apiserver_obstacle() -> str:
    """Why there is no API server for the tests; empty when there is one."""
    try:
        build.assets()
    except Unavailable as error:
        return str(error)
    return ""


def web_obstacle() -> str:
    """Why no page can be opened here; empty when one can."""
    return "" if chromium.program() else "chromium not found (apt-get install chromium)"


OBSTACLES: dict[str, tuple[str, Callable[[], str]]] = {
    "kernel": ("kernel tests cannot run", kernel_obstacle),
    "apiserver": ("API server tests cannot run", apiserver_obstacle),
    "cluster": ("cluster tests cannot run", cluster_build.obstacle),
    "web": ("browser tests cannot run", web_obstacle),
}
"""Marker -> what is said of tests that this machine cannot run, and why it cannot."""


FAST_SEEDS = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "no laws at length: none marked law, and of seeded tests the first two seeds alone"
    parser.addoption("--fast", action="store_true", help=text)


def is_at_length(item: pytest.Item) -> bool:
    """Whether a fast run leaves a test out."""
    called = getattr(item, "callspec", None)
    seed = called.indices.get("seed", 0) if called else 0
    return item.get_closest_marker("law") is not None or seed >= FAST_SEEDS


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("fast"):
        left_out = [item for item in items if is_at_length(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not is_at_length(item)]
    for marker, (text, obstacle) in OBSTACLES.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and (reason := obstacle()):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=f"{text}: {reason}"))


def pytest_runtest_teardown() -> None:
    # An agent freezes what its process holds, which here is every test and every module: each
    # manifest read later in this process would count those values again.
    gc.unfreeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.stats.get("skipped", [])
    said = [report.longrepr[-1] for report in reports if isinstance(report.longrepr, tuple)]
    for text, _ in OBSTACLES.values():
        if skipped := [reason for reason in said if text in reason]:
            what, why = text.removesuffix(" cannot run").upper(), skipped[0].partition(f"{text}: ")
            line = f"!!! {len(skipped)} {what} WERE SKIPPED: {why[2]}"
            terminalreporter.write_line(line, red=True, bold=True)


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
