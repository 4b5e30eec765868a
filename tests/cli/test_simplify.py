"""``podfence simplify``: fewer rules, the same verdicts, and text that stays what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from random import Random
from typing import Any

import pytest

from podfence.cli import simplifying
from podfence.manifests.load import load
from podfence.model.cluster import ClusterObject
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
    Protocol,
)
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.policy.origin import Origin
from podfence.questions.plan.plan import plan
from podfence.questions.simplify.covered import CoverScope, RemovedPart, Simplification
from podfence.questions.simplify.probes import with_probes
from podfence.testing.builders import namespace, pod
from podfence.testing.manifest import to_manifest
from tests.cli.schema import violations
from tests.cli.session import ROOT, Done, podfence

HEAD = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: %s, namespace: shop}
spec:
  podSelector: {%s}
  policyTypes: [Ingress, Egress]
"""
EVERY = "{podSelector: {}}"
BACKEND = "{podSelector: {matchLabels: {app: backend}}}"


def policy_text(rules: str, name: str = "db", selector: str = "matchLabels: {app: db}") -> str:
    return HEAD % (name, selector) + rules


def simplify(directory: Path, text: str, *options: str) -> Done:
    (directory / "a.yaml").write_text(text)
    return podfence(["simplify", "-f", "a.yaml", *options], directory=directory)


def gone(directory: Path, text: str, *options: str) -> list[str]:
    """The paths of what can go."""
    data = json.loads(simplify(directory, text, "--join", "-o", "json", *options).out)
    return [each["path"] for each in (*data["removals"], *data["joins"])]


@pytest.mark.parametrize(
    ("rules", "paths"),
    [
        (f"  ingress:\n  - from: [{BACKEND}, {BACKEND}]\n", ["spec.ingress[0].from[1]"]),
        (f"  ingress:\n  - from: [{EVERY}, {BACKEND}]\n", ["spec.ingress[0].from[1]"]),
        (f"  ingress:\n  - from: [{BACKEND}, {EVERY}]\n", ["spec.ingress[0].from[0]"]),
        ("  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.0/8}}, {ipBlock: {cidr: 10.1.0.0/16}}]\n",
         ["spec.ingress[0].from[1]"]),
        # What the wider block leaves out, the narrower one allows.
        (("  ingress:\n  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}, "
         "{ipBlock: {cidr: 10.1.0.0/16}}]\n"), []),
        ("  ingress:\n  - ports: [{port: 80}, {port: 70, endPort: 90}]\n",
         ["spec.ingress[0].ports[0]"]),
        # Two ports that hold a range together.
        ("  ingress:\n  - ports: [{port: 80, endPort: 81}, {port: 80}, {port: 81}]\n",
         ["spec.ingress[0].ports[1]", "spec.ingress[0].ports[2]"]),
        ("  ingress:\n  - ports: [{port: 80}, {port: 80, protocol: UDP}]\n", []),
        ("  ingress:\n  - ports: [{port: web}, {port: web}, {port: 80}]\n",
         ["spec.ingress[0].ports[1]"]),
        (f"  ingress:\n  - from: [{BACKEND}]\n  - from: [{BACKEND}]\n    ports: [{{port: 1}}]\n",
         ["spec.ingress[1]"]),
        (f"  ingress:\n  - {{}}\n  - from: [{BACKEND}]\n", ["spec.ingress[1]"]),
        # Each peer is held by another rule.
        ((f"  ingress:\n  - from: [{BACKEND}]\n  - from: [{{ipBlock: {{cidr: 10.0.0.0/8}}}}]\n"
         f"    ports: [{{port: 1}}]\n  - from: [{BACKEND}, {{ipBlock: {{cidr: 10.1.0.0/16}}}}]\n"
         "    ports: [{port: 1}]\n"), ["spec.ingress[2]"]),
        # The same peers, and the same ports.
        ((f"  egress:\n  - to: [{BACKEND}]\n    ports: [{{port: 1}}]\n  - to: [{BACKEND}]\n"
         "    ports: [{port: 2}]\n"), ["spec.egress[1]"]),
        ((f"  egress:\n  - to: [{BACKEND}]\n    ports: [{{port: 1}}]\n"
         "  - to: [{ipBlock: {cidr: 10.0.0.0/8}}]\n    ports: [{port: 1}]\n"), ["spec.egress[1]"]),
        # Neither peers nor ports are the same.
        ((f"  egress:\n  - to: [{BACKEND}]\n    ports: [{{port: 1}}]\n"
         "  - to: [{ipBlock: {cidr: 10.0.0.0/8}}]\n    ports: [{port: 2}]\n"), []),
        ("  ingress: []\n  egress: []\n", []),
    ],
)  # fmt: skip
def test_what_can_go(rules: str, paths: list[str], tmp_path: Path) -> None:
    assert gone(tmp_path, policy_text(rules)) == paths
    written = simplify(tmp_path, policy_text(rules), "--join", "--write")
    assert written.status == 0
    again = podfence(["simplify", "-f", "a.yaml", "--join", "--check"], directory=tmp_path)
    assert (again.status, again.out.startswith("nothing can go: ")) == (0, True)


RULE = f"  ingress:\n  - from: [{BACKEND}]\n  - from: [{EVERY}]\n    ports: [{{port: 7}}]\n"


@pytest.mark.parametrize(
    ("other", "paths"),
    [
        ("matchLabels: {app: db}", ["spec.ingress[0]"]),
        ("", ["spec.ingress[0]"]),  # it selects the pods of this one, too
        ("matchLabels: {app: db, tier: one}", []),  # only some of them
        ("matchLabels: {app: web}", []),
    ],
)
def test_rules_that_other_policies_allow(other: str, paths: list[str], tmp_path: Path) -> None:
    wide = policy_text(f"  ingress:\n  - from: [{BACKEND}]\n", "all", other)
    text = f"{wide}---\n{policy_text(RULE)}"
    assert gone(tmp_path, text) == paths
    audited = text.replace("{name: all,", "{name: all, annotations: {podfence.io/mode: audit},")
    assert gone(tmp_path, audited) == []
    elsewhere = text.replace("{name: all, namespace: shop}", "{name: all, namespace: ops}")
    assert gone(tmp_path, elsewhere) == []


def test_the_last_rule_of_a_policy_stays(tmp_path: Path) -> None:
    """Without it the policy would be another one: a default deny of its own."""
    wide = policy_text(f"  ingress:\n  - from: [{BACKEND}]\n", "all", "")
    text = f"{wide}---\n{policy_text(f'  ingress:{chr(10)}  - from: [{BACKEND}]{chr(10)}')}"
    assert gone(tmp_path, text) == []


def test_remarks_stay_with_what_stays(tmp_path: Path) -> None:
    text = policy_text(
        "  ingress:   # the ways in\n"
        f"  # the backend\n  - from: [{BACKEND}]   # all of it\n"
        f"  # again\n  - from: [{BACKEND}]\n    ports: [{{port: 1}}]  # and its port\n"
        "  # behind\n"
    )
    simplify(tmp_path, text, "--write")
    assert (tmp_path / "a.yaml").read_text() == policy_text(
        "  ingress:   # the ways in\n"
        f"  # the backend\n  - from: [{BACKEND}]   # all of it\n"
        "  # behind\n"
    )


def test_a_rule_with_a_remark_is_not_joined(tmp_path: Path) -> None:
    """The remark would be of no rule."""
    rules = f"  ingress:\n  - from: [{BACKEND}]\n    ports: [{{port: 1}}]\n"
    text = policy_text(rules + f"  # metrics\n  - from: [{BACKEND}]\n    ports: [{{port: 2}}]\n")
    assert "left" not in simplify(tmp_path, text).out
    done = simplify(tmp_path, text, "--join")
    assert "spec.ingress[1]: left: it has a comment of its own" in done.out
    assert "nothing can go" in done.out


def test_only_the_namespaces_that_are_asked_about(tmp_path: Path) -> None:
    text = policy_text(f"  ingress:\n  - from: [{BACKEND}, {BACKEND}]\n")
    text = f"{text}---\n{text.replace('namespace: shop', 'namespace: ops')}"
    assert len(gone(tmp_path, text)) == 2
    assert len(gone(tmp_path, text, "-n", "ops")) == 1
    unknown = simplify(tmp_path, text, "-n", "opps")
    assert unknown.status == 2


PODS = """---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: m}]}
---
apiVersion: v1
kind: Pod
metadata: {name: backend, namespace: shop, labels: {app: backend, tier: back}}
spec: {containers: [{name: m}]}
"""


def test_what_only_the_pods_of_today_do_not_need_is_asked_for(tmp_path: Path) -> None:
    text = (
        policy_text(
            "  ingress:\n  - from: [{podSelector: {matchLabels: {tier: back}}}]\n"
            "    ports: [{port: 1}]\n  - from: [{podSelector: {matchLabels: {a: b}}}]\n"
        )
        + PODS
        + "---\n"
        + policy_text(f"  ingress:\n  - from: [{BACKEND}]\n", "backend")
    )
    assert gone(tmp_path, text) == []
    done = simplify(tmp_path, text, "--today", "--check")
    assert done.status == 1
    assert "only for the existing pods" in done.out
    data = json.loads(simplify(tmp_path, text, "--today", "-o", "json").out)
    assert {each["strength"] for each in data["removals"]} == {"today"}
    simplify(tmp_path, text, "--today", "--write")
    old = tmp_path / "old.yaml"
    old.write_text(text)
    same = podfence(["plan", "old.yaml", "a.yaml"], directory=tmp_path)
    assert same.status == 0


def test_nothing_is_made_where_a_verdict_would_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the fault is in what finds the rules."""

    def wrong(policies: Any, namespaces: Any, *, join: bool) -> Iterator[Simplification]:
        [policy] = policies
        origin = Origin(policy.ref, "spec.ingress[0]", policy.source)
        yield Simplification(origin, RemovedPart.RULE, CoverScope.ALWAYS, ())

    monkeypatch.setattr(simplifying, "simplifications", wrong)
    text = policy_text(RULE)
    done = simplify(tmp_path, text, "--write")
    assert done.status == 2
    assert "nothing was written" in done.err
    assert (tmp_path / "a.yaml").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--context", "prod"], "simplify edits files"),
        (["-f", "-"], "simplify edits files"),
        (["-f", "examples/shop", "--render", "always", "--write"], "--write edits files"),
    ],
)
def test_what_is_no_file_is_not_edited(arguments: list[str], said: str) -> None:
    done = podfence(["simplify", *arguments], stdin=b"")
    assert done.status == 2
    assert said in done.err


def test_an_input_that_cannot_be_read_is_not_simplified(tmp_path: Path) -> None:
    broken = policy_text(RULE).replace("podSelector:", "podSelektor:")
    done = simplify(tmp_path, f"{policy_text(RULE, 'other')}---\n{broken}", "--write")
    assert done.status == 2
    assert "nothing was simplified" in done.err


# -- the law, over policies with little to choose from

LABELS = (("app", "a"), ("app", "b"), ("tier", "x"), ("tier", "y"))
PORTS = (80, 81, 82, "web")
BLOCKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "fd00::/8", "0.0.0.0/0")


def random_policies(drawn: Random) -> list[ClusterObject]:
    found: list[ClusterObject] = [
        namespace("shop", {"team": "a"}),
        namespace("ops", {"team": "b"}),
    ]
    for at in range(4):
        labels = dict(drawn.sample(LABELS, drawn.randint(0, 2)))
        space = drawn.choice(("shop", "ops"))
        found.append(pod(f"{space}/p{at}", labels, ports=["web:80"]))
    return [*found, *(random_policy(drawn, at) for at in range(drawn.randint(1, 4)))]


def random_policy(drawn: Random, at: int) -> NetworkPolicy:
    types = drawn.choice(([PolicyType.INGRESS], [PolicyType.EGRESS], [*PolicyType]))
    ingress, egress = (
        tuple(random_rule(drawn) for _ in range(drawn.randint(0, 4))) if each in types else ()
        for each in (PolicyType.INGRESS, PolicyType.EGRESS)
    )
    ref = ObjectRef("NetworkPolicy", drawn.choice(("shop", "ops")), f"p{at}")
    return NetworkPolicy(ref, random_selector(drawn), frozenset(types), ingress, egress)


def random_rule(drawn: Random) -> NetworkPolicyRule:
    peers = tuple(random_peer(drawn) for _ in range(drawn.randint(0, 3)))
    return NetworkPolicyRule(peers, tuple(random_port(drawn) for _ in range(drawn.randint(0, 3))))


def random_peer(drawn: Random) -> NetworkPolicyPeer:
    if drawn.random() < 0.3:
        cidr = ip_network(drawn.choice(BLOCKS))
        wide = cidr.version == 4 and cidr.prefixlen < 16
        cut = (ip_network("10.1.0.0/16"),) if wide and drawn.random() < 0.4 else ()
        return NetworkPolicyPeer(ip_block=IPBlock(cidr, cut))
    spaces = None
    if drawn.random() < 0.5:
        spaces = drawn.choice((LabelSelector(), LabelSelector((("team", "a"),))))
    return NetworkPolicyPeer(random_selector(drawn), spaces)


def random_selector(drawn: Random) -> LabelSelector:
    labels = dict(drawn.sample(LABELS, drawn.choice((0, 1, 1, 2))))
    asked: tuple[LabelSelectorRequirement, ...] = ()
    if drawn.random() < 0.2:
        asked = (LabelSelectorRequirement("tier", drawn.choice(list(Operator)[2:])),)
    return LabelSelector(tuple(sorted(labels.items())), asked)


def random_port(drawn: Random) -> NetworkPolicyPort:
    port = drawn.choice(PORTS)
    end = drawn.choice((None, 82, 90)) if isinstance(port, int) else None
    return NetworkPolicyPort(drawn.choice((Protocol.TCP, Protocol.TCP, Protocol.UDP)), port, end)


@pytest.mark.parametrize("options", [(), ("--join",), ("--join", "--today")])
def test_no_verdict_differs(
    options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked with other imaginary pods than the proof of the command itself has."""
    monkeypatch.setattr(simplifying, "PROBES", 20)
    less = 0
    for seed in range(12):
        objects = random_policies(Random(f"simplify/{seed}"))
        manifests = [to_manifest(each) for each in objects]  # type: ignore[arg-type]
        file = tmp_path / "a.json"
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))
        old = load([str(file)]).cluster
        run = ["simplify", "-f", "a.json", *options, "--write", "-o", "json"]
        done = podfence(run, directory=tmp_path)
        assert done.status == 0, (seed, done.err)
        new = load([str(file)]).cluster
        if "--today" not in options:
            old, new = (with_probes(each, old.policies, 41) for each in (old, new))
        assert not plan(old, new).changes_something, seed
        data = json.loads(done.out)
        less += len(data["removals"]) + len(data["joins"])
        if not options:
            again = podfence(["simplify", "-f", "a.json"], directory=tmp_path)
            assert again.out.startswith("nothing can go"), (seed, again.out)
    assert less > 10


def test_the_answer_follows_its_schema() -> None:
    schema = json.loads((ROOT / "docs/schemas/simplify.schema.json").read_text())
    done = podfence(["simplify", "-f", "examples/simplify", "--join", "-o", "json"])
    data = json.loads(done.out)
    assert violations(data, schema, schema) == []
    assert data["removals"]
    assert data["joins"]
