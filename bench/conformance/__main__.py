"""Podfence and its peers on the same cases in one run.

    python -m bench.conformance [--seed N] [--clusters N] [--only PEER] [--write FILE]

Exit 0: podfence answers nothing wrongly; 1: it does; a peer that cannot be had changes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.conformance.asking import Outcome, Tally, ask_podfence, asker, put
from bench.conformance.cases import Case, all_cases
from bench.conformance.classes import classes
from bench.conformance.page import Answers, page
from bench.conformance.peers import PEERS, Asked, Peer, program, say
from tests.support.golang import Unavailable


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.conformance", description="Podfence and its peers on the same cases."
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clusters", type=int, default=60, help="random ones of each sort")
    parser.add_argument("--only", default="", metavar="PEER", help="peers whose name holds PEER")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page")
    return parser


def of_podfence(cases: Sequence[Case]) -> Answers:
    """What podfence answers."""
    tally = Tally()
    for case in cases:
        put(tally, case, ask_podfence, None)
    return Answers(None, tally)


def of_peer(peer: Peer, cases: Sequence[Case]) -> Answers:
    """What a peer answers, told apart. Raises Unavailable."""
    asked = Asked(program(peer))
    tally = Tally()
    ask = asker(asked)
    try:
        for case in cases:
            put(tally, case, ask, peer)
        return Answers(peer, tally, list(classes(tally.wrong, ask, peer)))
    finally:
        asked.close()


def summary(answers: Answers) -> str:
    """One line."""
    counts = ", ".join(f"{answers.tally.total(each):,} {each.value}" for each in Outcome)
    return f"{answers.name}: {counts}"


def main(given: Sequence[str] | None = None) -> int:
    """Ask, print, write; see the module's docstring."""
    options = arguments().parse_args(given)
    cases = list(all_cases(options.seed, options.clusters))
    say(f"{len(cases):,} clusters, {sum(len(case.connections) for case in cases):,} connections")
    answers = [of_podfence(cases)]
    print(summary(answers[0]), flush=True)
    missing = {}
    for peer in PEERS:
        if options.only not in peer.name:
            continue
        try:
            answers.append(of_peer(peer, cases))
            print(summary(answers[-1]), flush=True)
        except Unavailable as error:
            missing[peer.name] = str(error)
            say(f"{peer.name} is left out: {error}")
    if options.write is not None:
        text = page(answers, missing, options.seed, options.clusters)
        options.write.write_text(text, encoding="utf-8")
    return 1 if answers[0].tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
