"""The answers -> ``docs/conformance.md``.

Rule: nothing on the page comes from a clock or a machine, so the same run writes the same page.
Texts of other tools are shown inside code alone, on one line, cut to its length.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.conformance.asking import Objects, Outcome, Tally
from bench.conformance.cases import GROUPS
from bench.conformance.classes import LOOKED_INTO, Found
from bench.conformance.freedom import LEFT_OUT as DISPUTED
from bench.conformance.freedom import OPEN_BESIDES, clauses
from bench.conformance.peers import LEFT_OUT, Peer
from bench.conformance.shrinking import ends
from podfence import __version__

SCORES = Path(__file__).resolve().parents[2] / "docs" / "scores"
_LINE = 160
_OPEN = """\
A clause whose text says *Decision* is podfence's choice; of {besides} the texts of Kubernetes say
nothing. A connection of another clause whose answer hangs on such a choice is open, too. Who
chooses otherwise, by the clause of the case:
"""
_SUITES = """\
An engine that answers well may still be enforced badly. These are the suites of others, run against
podfence's agent on real nodes; [how, and what is open](cluster-scores.md).
"""


@dataclass
class Answers:
    """A tool, its tally and the classes of what it answers wrongly. ``peer`` None: podfence."""

    peer: Peer | None
    tally: Tally
    classes: list[Found] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As the page calls it."""
        return self.peer.name if self.peer else "podfence"


def page(answers: Sequence[Answers], missing: dict[str, str], seed: int, clusters: int) -> str:
    """The whole page. ``missing``: peers that could not be had, and why."""
    parts = (
        _head(seed, clusters),
        _asked(answers),
        _left_out(missing),
        _table(answers),
        *(_wrong(each) for each in answers if each.classes or each.tally.refused),
        _choices(answers),
        _disputed(),
        scores(),
    )
    return "\n".join(parts)


def _head(seed: int, clusters: int) -> str:
    return f"""# Conformance, beside others

*Written by a program, which asks podfence and every peer that package registries carry about the
same connections, in one run.*

```console not-run
$ python -m bench.conformance --seed {seed} --clusters {clusters}
```

Peers are fetched from their registries into `.conformance`, and nothing of them is in the
repository; one that is away is left out by name. What is expected comes from nobody who is asked:
the files of `tests/spec` carry their answers, and a naive judge, which shares no code with
podfence's engine, answers for examples and random clusters.

All are given the same objects, as an API server would serve them: defaults filled in, workloads
expanded to pods, addresses in their status.

- **right**, **wrong**: as expected or not, where the texts of Kubernetes decide.
- **refused**: the tool failed, or would not read a valid input.
- **unsupported**: the tool does not claim it, or is asked here in a way that takes it away; it is
  not asked.
- **choice**: the texts leave the answer open and podfence had to choose; another choice is not
  wrong.

Words in italics are quoted as they stand in `k8s.io/api` and `k8s.io/apimachinery` v0.37.2,
`sigs.k8s.io/network-policy-api` v0.3.0, the end-to-end tests of `k8s.io/kubernetes` v1.37.2 and the
documentation of Kubernetes; what is not in italics is said in other words.
"""


def _asked(answers: Sequence[Answers]) -> str:
    lines = [
        "## Who is asked\n",
        "| tool | version | what answers | policies | not claimed |",
        "|---|---|---|---|---|",
        f"| podfence | {__version__} | its reader and its engine, those of `can` | all kinds | |",
    ]
    for peer in (each.peer for each in answers if each.peer):
        beyond = ", ".join(sorted(aspect.value for aspect in peer.beyond))
        kinds = ", ".join(sorted(peer.kinds, key=len))
        lines.append(f"| {peer.name} | {peer.version} | {peer.asked} | {kinds} | {beyond} |")
    return "\n".join((*lines, ""))


def _left_out(missing: dict[str, str]) -> str:
    away = {name: f"could not be had in this run: {why}" for name, why in missing.items()}
    lines = ["Not asked:\n", *(f"- {name}: {why}" for name, why in {**LEFT_OUT, **away}.items())]
    return "\n".join((*lines, ""))


def _table(answers: Sequence[Answers]) -> str:
    lines = [
        "## Answers\n",
        "Connections: right / wrong / refused / unsupported; then choices, the same / another.\n",
        "| cases | " + " | ".join(each.name for each in answers) + " |",
        "|---|" + "---|" * len(answers),
    ]
    for group in GROUPS:
        cells = (_cell(each.tally, group) for each in answers)
        lines.append(f"| {group} | {' | '.join(cells)} |")
    lines.append("| **all** | " + " | ".join(_cell(each.tally, None) for each in answers) + " |")
    return "\n".join((*lines, ""))


def _cell(tally: Tally, group: str | None) -> str:
    def count(outcome: Outcome) -> int:
        return tally.total(outcome) if group is None else tally.counts[group, outcome]

    main = " / ".join(
        f"{count(o):,}"
        for o in (Outcome.RIGHT, Outcome.WRONG, Outcome.REFUSED, Outcome.UNSUPPORTED)
    )
    same, other = count(Outcome.SAME), count(Outcome.OTHER)
    return f"{main}; {same:,} / {other:,}" if same or other else main


def _wrong(answers: Answers) -> str:
    tally = answers.tally
    lines = [f"## {answers.name}: what is wrong, and what is refused\n"]
    if tally.wrong:
        looked = sum(found.count for found in answers.classes)
        lines.append(
            f"{len(tally.wrong):,} wrong answers"
            + (f", of which {looked:,} were looked into." if looked < len(tally.wrong) else ".")
            + "\n"
        )
    for found in answers.classes:
        lines += _class(found)
    if tally.refused:
        reasons = Counter(_reason(miss.said) for miss in tally.refused)
        lines.append(f"{len(tally.refused):,} answers refused, by what the tool says:\n")
        lines += (f"- {n:,}: `{text}`" for text, n in sorted(reasons.items(), key=_most)[:6])
        lines.append("")
    return "\n".join(lines)


def _most(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _class(found: Found) -> Iterator[str]:
    flow = found.miss.connection.flow
    source, destination = ends(found.objects, flow)
    expected = "allowed" if found.miss.connection.allowed else "denied"
    said = "allowed" if found.said == "allow" else "denied"
    yield f"### {found.title}\n"
    yield f"{found.count:,} of them. The smallest:\n"
    yield "```yaml"
    yield readable(found.objects)
    yield "```\n"
    asked = f"`{source}` to `{destination}`, {flow.protocol} {flow.port}"
    yield f"{asked}: the tool says {said}; right is {expected}.\n"
    if found.clause in clauses():
        yield f"> **{found.clause}.** {clauses()[found.clause]}\n"
    elif found.clause:
        yield f"Test {found.clause} of upstream.\n"
    if found.text:
        yield f"{found.text}\n"


def readable(objects: Objects) -> str:
    """Manifests for people: what says nothing is left out."""
    texts = [
        yaml.safe_dump(_bare(item), default_flow_style=None, sort_keys=False, width=100).strip()
        for item in objects
        if item["kind"] != "Namespace" or len(item["metadata"].get("labels", {})) > 1
    ]
    return "\n---\n".join(texts)


_SILENT = {
    "kubernetes.io/metadata.name",
    "phase",
    "nodeName",
    "hostNetwork",
    "hostIPs",
    "apiVersion",
}


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _bare(item)
            for key, item in value.items()
            if key not in _SILENT and not (key in ("labels", "except", "values") and not item)
        }
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _reason(said: str) -> str:
    """What a tool says when it refuses, without the names of files."""
    text = re.sub(r"\btmp\w+\.\w+", "FILE", said.removeprefix("error: "))
    return " ".join(text.replace("`", "'").replace("|", "/").split())[:_LINE]


def _choices(answers: Sequence[Answers]) -> str:
    lines = [
        "## Where the texts leave it open\n",
        _OPEN.format(besides=", ".join(sorted(OPEN_BESIDES))),
    ]
    for each in answers:
        if each.tally.choices:
            found = ", ".join(f"{clause} ({n})" for clause, n in sorted(each.tally.choices.items()))
            lines.append(f"- {each.name}: {found}")
    return "\n".join((*lines, ""))


def _disputed() -> str:
    lines = [
        "Of examples and random clusters, nobody is asked about a connection where\n",
        *(f"- {text}" for text in DISPUTED),
        "",
        f"Up to {LOOKED_INTO} wrong answers of a tool are made as small as they go and told apart.",
        "Of policies that no server of this version stores (CNP-24, CNP-25) nobody is asked.",
    ]
    return "\n".join((*lines, ""))


def scores() -> str:
    """The section about the suites of others, from the files under ``docs/scores``."""
    lines = [
        "## Scores of upstream's suites, in a cluster\n",
        _SUITES,
        "| suite | enforcer | passed | failed | left out |",
        "|---|---|---:|---:|---:|",
    ]
    found = [score(path.read_text(encoding="utf-8")) for path in sorted(SCORES.glob("*.txt"))]
    lines += (f"| {' | '.join(each)} |" for each in found)
    if not any(each[1] == "none" for each in found):
        lines.append("\nNo baseline has been measured yet.")
    return "\n".join((*lines, ""))


def score(text: str) -> tuple[str, str, str, str, str]:
    """Suite, enforcer and counts of a file under ``docs/scores``. Raises ValueError for another."""
    suite = re.search(r"^suite: +(.+)$", text, re.MULTILINE)
    enforcer = re.search(r"^enforcer: +(.+)$", text, re.MULTILINE)
    result = re.search(r"^result: +(\d+) passed, (\d+) failed, (\d+) left out$", text, re.MULTILINE)
    if not (suite and enforcer and result):
        raise ValueError("a score has suite, enforcer and result")
    return suite[1], enforcer[1], result[1], result[2], result[3]
