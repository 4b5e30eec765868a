"""What a packet pays for policies, on real packets through real rules.

    python -m bench.packets [--quick] [--rounds N] [--cpu N] [--write docs/benchmarks-packets.md]

Rule: everything happens in network namespaces that this process makes and that go with it. As root,
or rootless where the kernel allows user namespaces. Exit 0: measured, whatever the numbers are;
1: packets or rules did not do what they should, so there are no numbers.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.packets.report import Results, lines
from bench.packets.rounds import FULL, QUICK, Effort, measure, pair, subjects
from bench.packets.traffic import Pair, Sender, TrafficError, empty_call
from bench.run import machine, written
from podfence.errors import PodfenceError
from podfence.kernel import netns

ROOTLESS = "Without chains and sets: nft cannot load so many rules at once unless it is root."


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.packets", description="Measure what a packet pays for policies."
    )
    parser.add_argument("--quick", action="store_true", help="a small grid, few rounds")
    parser.add_argument("--rounds", type=_positive, help="how often each ruleset is visited")
    parser.add_argument("--cpu", type=_cpu, help="the CPU that does it all (the lowest allowed)")
    parser.add_argument(
        "--write", type=_page, metavar="FILE", help="put the tables between the marks in FILE too"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _cpu(text: str) -> int:
    allowed = sorted(os.sched_getaffinity(0))
    if int(text) not in allowed:
        raise argparse.ArgumentTypeError(f"{text} is none of {allowed}")
    return int(text)


def _page(text: str) -> Path:
    """A file with marks: asked now, not after minutes of measuring."""
    page = Path(text)
    try:
        written(page.read_text(encoding="utf-8"), "")
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return page


def run(effort: Effort) -> Results:
    """Load everything, then measure. Raises PodfenceError or TrafficError."""
    sender = Sender()
    pairs: dict[str, Pair] = {}
    chosen = list(subjects(effort))
    for number, subject in enumerate(chosen, 1):
        _say(f"loading {number} of {len(chosen)}: {subject.name}")
        pairs[subject.name] = pair(subject, sender)
    _say(f"measuring {len(pairs)} rulesets, {effort.rounds} rounds")
    grid = {subject.name: subject.scenario for subject in chosen if subject.scenario}
    six = frozenset(subject.name for subject in chosen if subject.family == 6)
    return Results(measure(pairs, effort, _say), grid, six)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, write; see the module's docstring."""
    options = arguments().parse_args(given)
    effort = QUICK if options.quick else FULL
    if options.rounds is not None:
        effort = replace(effort, rounds=options.rounds)
    cpu = min(os.sched_getaffinity(0)) if options.cpu is None else options.cpu
    os.sched_setaffinity(0, {cpu})
    began = time.monotonic()
    text = [f"{machine()}; {effort.rounds} rounds.", ""]
    try:
        if netns.enter_private_network():
            effort = replace(effort, chains=())
            text[0] += f" {ROOTLESS}"
        text += lines(run(effort))
    except (PodfenceError, TrafficError) as error:
        print(f"bench.packets: {error}", file=sys.stderr)
        return 1
    text.append(f"\nOf each connect, {empty_call() / 1e3:.2f} us are the call from Python, empty.")
    text.append(f"Load {os.getloadavg()[0]:.1f} at the end, {time.monotonic() - began:.0f} s.")
    print("\n".join(text))
    if options.write is not None:
        old = options.write.read_text(encoding="utf-8")
        options.write.write_text(written(old, "\n".join(text)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
