"""How many slips of the pen ``check`` calls errors.

Each round misspells one word or number of the policies of examples/shop: a label, its key, a
namespace, a port. What changes no row of the map is not counted. Run: python -m bench.typos [N].
"""

from __future__ import annotations

import io
import random
import re
import sys
from collections import Counter
from pathlib import Path

from podfence.errors import Severity
from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.connectivity import connectivity
from podfence.questions.lint.lint import lint
from podfence.render.map_data import map_csv

SHOP = Path(__file__).parents[1] / "examples" / "shop"
PLACES = {
    "label": r"(?:app|k8s-app): ([a-z-]+)\}",
    "label of a namespace": r"metadata\.name: ([a-z-]+)\}",
    "namespace": r"(?m)^  namespace: ([a-z-]+)",
    "port name": r"port: ([a-z]+)\}",
    "port number": r"[pP]ort: (\d+)",
    "label key": r"\{(app|k8s-app):",
}
"""What is misspelt, and where it stands."""


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


def judged(texts: list[str]) -> tuple[list[str], set[Severity]]:
    """The map, and the weights of all that is said."""
    loaded = load(["-"], stdin=io.BytesIO("\n---\n".join(texts).encode()))
    index = compile_cluster(loaded.cluster)
    said = {problem.severity for problem in loaded.problems}
    if not loaded.doubts:
        said |= {finding.weight for finding in lint(index, loaded.raw)}
    return sorted(map_csv(connectivity(index))), said


def main(rounds: int) -> None:
    """Print the rate, and what was not called an error."""
    rng = random.Random(1)
    workloads = [path.read_text("utf-8") for path in sorted(SHOP.glob("*.yaml"))]
    policies = [path.read_text("utf-8") for path in sorted((SHOP / "policies").glob("*.yaml"))]
    before, _ = judged([*workloads, *policies])
    changed = caught = warned = 0
    missed: Counter[str] = Counter()
    for _ in range(rounds):
        kind, pattern = rng.choice(list(PLACES.items()))
        able = [at for at, text in enumerate(policies) if re.search(pattern, text)]
        at = rng.choice(able)
        place = rng.choice(list(re.finditer(pattern, policies[at])))
        word = misspelt(place[1], rng)
        text = policies[at][: place.start(1)] + word + policies[at][place.end(1) :]
        after, said = judged([*workloads, *policies[:at], text, *policies[at + 1 :]])
        if after == before:
            continue
        changed += 1
        caught += Severity.ERROR in said
        if Severity.ERROR not in said:
            warned += Severity.WARNING in said
            missed[f"{kind}: {place[1]} -> {word}"] += 1
    print(
        f"{rounds} slips, {changed} change the map; {caught} are errors "
        f"({100 * caught / changed:.0f} %), {warned} more are warnings"
    )
    for words, number in missed.most_common():
        print(f"  {number} {words}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
