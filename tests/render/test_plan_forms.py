"""Forms of a plan: hostile names stay names, and a large plan keeps its length."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from podfence.errors import Position, Source
from podfence.manifests.load import load
from podfence.model.cluster import Cluster, ClusterObject
from podfence.questions.plan.plan import Plan, plan
from podfence.render.plan_edits import Edits, SideTexts
from podfence.render.plan_findings import PlanFinding, findings_of
from podfence.render.plan_formats import sarif_data, workflow_commands
from podfence.render.plan_json import plan_data
from podfence.render.plan_markdown import LIMIT, cell, render_markdown
from podfence.render.plan_text import LINES, Spots, render_plan
from podfence.testing.builders import namespace, peer, pod, policy, rule

HOSTILE = "x`|<b>@all\n::error::,file=%0A```\x1b[31m"


def locate(source: Source | None, path: str) -> Position | None:
    return Position(f"main:{HOSTILE}.yaml", 3, 5) if source else None


def texts() -> SideTexts:
    return SideTexts(lambda source: None, locate)


def planned(old: list[ClusterObject], new: list[ClusterObject]) -> tuple[Plan, Edits]:
    return plan(Cluster.of(old), Cluster.of(new)), Edits(texts(), texts())


def hostile_plan() -> tuple[Plan, Edits]:
    world: list[ClusterObject] = [
        namespace("shop"),
        pod(f"shop/{HOSTILE}", addresses=["10.0.0.1"]),
        pod("shop/db", addresses=["10.0.0.2"]),
    ]
    deny = replace(policy(f"shop/{HOSTILE}"), source=Source("x"))
    return planned([*world, deny], world)


def large_plan(namespaces: int) -> tuple[Plan, Edits]:
    world: list[ClusterObject] = []
    denies: list[ClusterObject] = []
    for number in range(namespaces):
        space = f"ns-{number}"
        world.append(namespace(space))
        world += [
            pod(f"{space}/p{n}", {"app": str(n)}, addresses=[f"10.{number}.0.{n + 1}"])
            for n in range(4)
        ]
        denies.append(policy(f"{space}/deny", types=["Ingress", "Egress"]))
    return planned([*world, *denies], world)


def test_a_workflow_command_is_one_line_and_no_other_command() -> None:
    answer, edits = hostile_plan()
    lines = list(workflow_commands(findings_of(answer, edits.spots), ["main"]))
    assert lines
    for line in lines:
        assert "\n" not in line
        assert "\r" not in line
        assert "\x1b" not in line
        properties = line.split("::")[1]
        assert properties.startswith(("warning title=", "notice title="))
        assert properties.count(",file=") <= 1


def test_few_annotations_and_the_others_counted() -> None:
    answer, edits = large_plan(30)
    lines = list(workflow_commands(findings_of(answer, edits.spots)))
    assert len(lines) == 11
    assert " more: " in lines[-1]


@pytest.mark.parametrize("text", ["plain", "a`b", "``", "|", "`", "@all", "<script>"])
def test_code_in_a_cell(text: str) -> None:
    found = cell(text)
    ticks = len(found) - len(found.lstrip("`"))
    assert found.endswith("`" * ticks)
    assert "`" * ticks not in found[ticks:-ticks]
    assert "|" not in found.replace("\\|", "")


def test_markdown_of_hostile_names_keeps_its_fence() -> None:
    text = render_markdown(*_with_spots(hostile_plan()))
    _, _, below = text.partition("<details>")
    fence = next(line for line in below.split("\n") if line.startswith("```"))
    ticks = fence.removesuffix("text")
    inside = below.partition(fence)[2].partition(f"\n{ticks}\n")[0]
    assert ticks not in inside
    assert below.rstrip().endswith("</details>")


def test_markdown_of_a_large_plan_fits_into_a_comment() -> None:
    text = render_markdown(*_with_spots(large_plan(60)))
    assert len(text) <= LIMIT
    assert "cut here" in text
    assert text.rstrip().endswith("</details>")


def test_text_of_a_large_plan_has_a_bound_and_says_what_it_leaves_out() -> None:
    text = render_plan(*_with_spots(large_plan(60)))
    assert len(text.split("\n")) <= LINES
    assert "causes more with" in text


def test_fingerprints_are_unique_and_know_no_lines() -> None:
    answer, edits = large_plan(20)
    moved = Edits(SideTexts(lambda s: None, lambda s, p: None), texts())
    prints = [_fingerprints(answer, each) for each in (edits, moved)]
    assert prints[0] == prints[1]
    assert len({str(p) for p in prints[0]}) == len(prints[0]) > 0


def test_steps_that_do_harm_are_findings() -> None:
    """A label and the policy that asks for it change together: either one first cuts."""

    def side(name: str) -> list[ClusterObject]:
        allow = policy("shop/db", {"app": "db"}, ingress=[rule(peer(pods={"app": name}))])
        return [
            namespace("shop"),
            replace(pod("shop/web", {"app": name}, addresses=["10.0.0.1"]), source=Source("w")),
            pod("shop/db", {"app": "db"}, addresses=["10.0.0.2"]),
            replace(allow, source=Source("x")),
        ]

    old, new = (Cluster.of(side(name)) for name in ("web", "api"))
    edits = Edits(texts(), texts())
    without = list(findings_of(plan(old, new), edits.spots))
    assert "PF407" not in {each.code for each in without}
    found = list(findings_of(plan(old, new, order=True), edits.spots))
    unsafe = [each for each in found if each.code == "PF407"]
    assert unsafe
    assert all("cuts 1 pair until later steps" in each.message for each in unsafe)
    assert all(each.spots for each in unsafe)
    assert found[: len(without)] == without
    levels = [r["level"] for r in _results(found) if r["ruleId"] == "PF407"]
    assert set(levels) == {"warning"}


def _results(found: Sequence[PlanFinding]) -> list[dict[str, object]]:
    data: Any = sarif_data(found)
    results: list[dict[str, object]] = data["runs"][0]["results"]
    return results


def _fingerprints(answer: Plan, edits: Edits) -> list[object]:
    data: Any = sarif_data(findings_of(answer, edits.spots))
    return [result["partialFingerprints"] for result in data["runs"][0]["results"]]


def _with_spots(made: tuple[Plan, Edits]) -> tuple[Plan, Spots]:
    answer, edits = made
    return answer, edits.spots


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (None, True, "+ NetworkPolicy shop/deny (audited: enforces nothing)"),
        (False, True, "~ NetworkPolicy shop/deny (audited from now on: enforces nothing)"),
        (True, False, "~ NetworkPolicy shop/deny (audited until now, enforced from now on)"),
        (False, False, ""),
    ],
)
def test_an_edit_says_what_becomes_of_an_audit(before: bool | None, after: bool, said: str) -> None:
    world: list[ClusterObject] = [namespace("shop"), pod("shop/db", addresses=["10.0.0.2"])]
    deny = replace(policy("shop/deny"), source=Source("x"))
    old = [] if before is None else [replace(deny, audited=before)]
    made, edits = planned([*world, *old], [*world, replace(deny, audited=after)])
    text = render_plan(made, edits.spots)
    assert said in text
    assert ("audited" in text) is bool(said)
    data = [edit.get("audited") for edit in plan_data(made, edits)["edits"]]  # type: ignore[attr-defined]
    assert data == ([{"before": bool(before), "after": after}] if said else [])


# --- where a removed field is shown


def written(peers: int, *, with_egress: bool = True) -> str:
    """A policy with some peers in its rule, one a line from line 11 on."""
    lines = [
        "apiVersion: networking.k8s.io/v1",
        "kind: NetworkPolicy",
        "metadata: {name: web, namespace: shop}",
        "spec:",
        "  podSelector: {}",
        *(["  egress: [{}]"] if with_egress else ["  # none"]),
        "  policyTypes: [Ingress, Egress]",
        "  ingress:",
        "  - ports: [{port: 80}]",
        "    from:",
        *(f"    - podSelector: {{matchLabels: {{app: a{n}}}}}" for n in range(peers)),
    ]
    return "\n".join(lines)


PODS = "".join(
    "{apiVersion: v1, kind: Pod, metadata: "
    f"{{name: a{n}, namespace: shop, labels: {{app: a{n}}}}}}}\n---\n"
    for n in range(3)
)


def shown_in(old: str, new: str) -> tuple[list[str], list[Any]]:
    """Annotations, and the results of SARIF."""
    sides = [load(["-"], stdin=io.BytesIO(f"{PODS}{text}".encode())) for text in (old, new)]
    made = plan(sides[0].cluster, sides[1].cluster)
    edits = Edits(*(SideTexts(each.raw, each.locate) for each in sides))
    found = list(findings_of(made, edits.spots))
    data: Any = sarif_data(found)
    return list(workflow_commands(found)), data["runs"][0]["results"]


BEFORE = 6
"""Lines in front of the policies."""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        pytest.param(written(3), written(2), 12, id="a peer: the one before it"),
        pytest.param(written(2), written(2, with_egress=False), 4, id="a field: what held it"),
    ],
)
def test_a_removed_field_is_shown_at_the_nearest_line_that_is_left(
    old: str, new: str, line: int
) -> None:
    commands, results = shown_in(old, new)
    assert [c for c in commands if f",line={line + BEFORE}," in c] == commands != []
    for each in results:
        [at] = each["locations"]
        assert at["physicalLocation"]["region"] == {"startLine": line + BEFORE}
        [was] = each["relatedLocations"]
        assert was["physicalLocation"]["region"] == {"startLine": 1}


def test_an_object_that_is_gone_is_shown_at_its_file() -> None:
    commands, results = shown_in(written(2), "")
    assert commands
    for command in commands:
        assert ",file=-::" in command
    for each in results:
        assert "relatedLocations" not in each
