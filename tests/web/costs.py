"""What a report costs a browser: from opening to use, a scroll of 60 frames, memory.

    python -m tests.web.costs REPORT.html [--profile N]

Rule: seconds of CPU of the page's main thread, not of a clock, so that other work of the machine
does not count; what other threads of the browser do (decoding, raster) is not in them. The clock is
printed beside it. A scroll takes as long as its frames at the least, 16.7 ms each, so what counts
there is the main thread's work within each (from a trace), and how many frames came late.
``--profile``: the N functions that take most.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.web.chromium import Browser

FRAMES = 60
BUDGET = 1000 / 60
"""Milliseconds of a frame."""
_TRACED = ("toplevel", "devtools.timeline")
_SCROLL = """
new Promise((done) => {
  const element = document.querySelector('.scroller');
  const frames = %d;
  let at = 0;
  const times = [];
  const step = (time) => {
    at += 1;
    times.push(time);
    element.scrollTo(45 * at, 120 * at);
    if (at < frames) requestAnimationFrame(step);
    else requestAnimationFrame(() => done(times));
  };
  requestAnimationFrame(step);
})
"""


class Watched:
    """A browser whose main thread is measured."""

    def __init__(self, browser: Browser, shown: int) -> None:
        self._browser = browser
        self._shown = shown

    def metrics(self) -> dict[str, float]:
        """Seconds of CPU of the main thread since the page was opened, by kind of work."""
        found = self._browser.call("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in found}

    def measure(self, what: str, work: Any) -> None:
        """Do it, and print what it took."""
        browser = self._browser
        if self._shown:
            browser.call("Profiler.start")
        before, start = self.metrics(), time.monotonic()
        work()
        clock, after = time.monotonic() - start, self.metrics()
        spent = {
            name: after[f"{name}Duration"] - before.get(f"{name}Duration", 0.0)
            for name in ("Task", "Script", "Layout", "RecalcStyle")
        }
        parts = ", ".join(f"{name.lower()} {value:.2f}" for name, value in spent.items())
        print(f"{what}: {spent['Task']:.2f} s of CPU ({parts}); clock {clock:.2f} s", flush=True)
        if self._shown:
            self._print_profile(browser.call("Profiler.stop")["profile"])

    def _print_profile(self, profile: Any) -> None:
        names = {
            node["id"]: (
                f"{node['callFrame']['functionName'] or '(anonymous)'}"
                f":{node['callFrame']['lineNumber'] + 1}:{node['callFrame']['columnNumber'] + 1}"
            )
            for node in profile["nodes"]
        }
        spent = Counter[str]()
        for node, delta in zip(profile["samples"], profile["timeDeltas"], strict=True):
            spent[names[node]] += max(delta, 0)
        for name, micros in spent.most_common(self._shown):
            print(f"    {micros / 1e6:7.3f} s  {name}")


def scroll(browser: Browser) -> None:
    """Scroll so many frames, and print the work in each and the frames that came late."""
    with browser.traced(*_TRACED) as events:
        times = browser.run(_SCROLL % FRAMES)
    late = sum(max(0, round((b - a) / BUDGET) - 1) for a, b in pairwise(times))
    work = sorted(busy(events))
    over = sum(each > BUDGET for each in work)
    p50, p95 = (work[int(len(work) * share)] for share in (0.5, 0.95))
    print(
        f"    a frame: {p50:.1f} ms of CPU (half of them), {p95:.1f} (95 of 100), "
        f"{work[-1]:.1f} (the longest); {over} of {len(work)} over {BUDGET:.1f} ms; "
        f"by the clock {late} came late"
    )


def busy(events: Sequence[Any]) -> list[float]:
    """Milliseconds of CPU of the page's main thread from each frame's task to the next one's."""
    thread = Counter(
        (each["pid"], each["tid"]) for each in events if each["name"] == "FireAnimationFrame"
    ).most_common(1)[0][0]
    own = [each for each in events if (each["pid"], each["tid"]) == thread]
    tasks = sorted(
        (
            (each["ts"], each["dur"], each.get("tdur", each["dur"]))
            for each in own
            if each["name"].endswith("RunTask") and each.get("ph") == "X"
        ),
    )
    drawn = sorted(each["ts"] for each in own if each["name"] == "FireAnimationFrame")
    found: list[float] = []
    for start, length, spent in tasks:
        if drawn and start <= drawn[0] <= start + length:
            while drawn and drawn[0] <= start + length:
                drawn.pop(0)
            found.append(0.0)
        if found:
            found[-1] += spent / 1000
    return found[:-1]


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.costs", description=main.__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--profile", type=int, default=0)
    options = parser.parse_args(given)
    address = options.report.resolve().as_uri()
    print(f"{options.report.stat().st_size / 1e6:.2f} MB")
    with Browser() as browser:
        browser.call("Performance.enable", timeDomain="threadTicks")
        browser.call("Profiler.enable")
        browser.call("Profiler.setSamplingInterval", interval=500)
        watched = Watched(browser, options.profile)
        watched.measure("usable", lambda: browser.visit(address))
        watched.measure("all namespaces open", lambda: browser.go("#/map?open=*"))
        watched.measure(f"{FRAMES} frames of scrolling", lambda: browser.run(_SCROLL % FRAMES))
        browser.run("document.querySelector('.scroller').scrollTo(0, 0)")
        scroll(browser)
        names = browser.run("podfence.world.endpoints.map((each) => each.name)")
        pair = f"#/map?pair={names[0]}~{names[-1]}"

        def first_pair() -> None:
            browser.go(pair)
            browser.wait("document.querySelector('.panel .verdict') !== null")

        watched.measure("first pair", first_pair)
        browser.call("HeapProfiler.collectGarbage")
        heap = browser.call("Runtime.getHeapUsage")
        parts = {
            name: heap.get(key, 0) / 1e6
            for name, key in (
                ("script", "usedSize"),
                ("page", "embedderHeapUsedSize"),
                ("buffers", "backingStorageSize"),
            )
        }
        said = ", ".join(f"{name} {value:.1f}" for name, value in parts.items())
        print(f"memory: {sum(parts.values()):.1f} MB ({said})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
