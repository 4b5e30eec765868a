"""Slips of the pen in the policies of examples/shop, and what ``check`` says of them.

Rule: a slip misspells one word or number: a label, its key, a namespace, a port. One that changes
no row of the map is no mistake that anybody could see.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from podfence.errors import Severity
from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.connectivity import connectivity
from podfence.questions.lint.lint import lint
from podfence.render.map_data import map_csv

SHOP = Path(__file__).parents[2] / "examples" / "shop"
PORT_NUMBER = "port number"
PATTERNS = {
    "label": r"(?:app|k8s-app): ([a-z-]+)\}",
    "label of a namespace": r"metadata\.name: ([a-z-]+)\}",
    "namespace": r"(?m)^  namespace: ([a-z-]+)",
    "port name": r"port: ([a-z]+)\}",
    PORT_NUMBER: r"[pP]ort: (\d+)",
    "label key": r"\{(app|k8s-app):",
}
"""What is misspelt, and where it stands."""


class Slip(Struct, frozen=True):
    """``words``: what was written for what. ``said``: the heaviest thing that check says, None for
    nothing."""

    kind: str
    words: str
    changes_the_map: bool
    said: Severity | None


def slips(count: int, seed: int = 1, kinds: Sequence[str] = tuple(PATTERNS)) -> Iterator[Slip]:
    """So many slips, and what is said of each."""
    rng = random.Random(seed)
    workloads = [path.read_text("utf-8") for path in sorted(SHOP.glob("*.yaml"))]
    policies = [path.read_text("utf-8") for path in sorted((SHOP / "policies").glob("*.yaml"))]
    before, _ = _judged([*workloads, *policies])
    for _ in range(count):
        kind = rng.choice(list(kinds))
        pattern = PATTERNS[kind]
        able = [at for at, text in enumerate(policies) if re.search(pattern, text)]
        at = rng.choice(able)
        match = rng.choice(list(re.finditer(pattern, policies[at])))
        word = misspelt(match[1], rng)
        text = policies[at][: match.start(1)] + word + policies[at][match.end(1) :]
        after, said = _judged([*workloads, *policies[:at], text, *policies[at + 1 :]])
        yield Slip(kind, f"{match[1]} -> {word}", after != before, said)


def misspelt(word: str, rng: random.Random) -> str:
    """Another word: two letters swapped, one left out, doubled or replaced; another digit."""
    at = rng.randrange(len(word))
    if word.isdigit():
        return word[:at] + rng.choice("123456789".replace(word[at], "")) + word[at + 1 :]
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    ways = (
        word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :] if at else word,
        word[:at] + word[at + 1 :],
        word[:at] + 2 * word[at] + word[at + 1 :],
        word[:at] + letter + word[at + 1 :],
    )
    found = rng.choice(ways)
    return found if found not in ("", word) else f"{word}x"


def _judged(texts: Sequence[str]) -> tuple[list[str], Severity | None]:
    """The map, and the weight of the heaviest thing that is said."""
    loaded = load(["-"], stdin=io.BytesIO("\n---\n".join(texts).encode()))
    index = compile_cluster(loaded.cluster)
    said = {problem.severity for problem in loaded.problems}
    if not loaded.doubts:
        said |= {finding.weight for finding in lint(index, loaded.raw)}
    heaviest = next((each for each in (Severity.ERROR, Severity.WARNING) if each in said), None)
    return sorted(map_csv(connectivity(index))), heaviest
