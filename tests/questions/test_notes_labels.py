"""PF320 and PF321: labels that nobody has, though somebody has one that looks the same."""

from __future__ import annotations

import pytest

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import METADATA_NAME_LABEL
from podfence.model.networkpolicy import NetworkPolicyPeer
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import LintedPolicy, WrittenObjects
from podfence.questions.lint.note_labels import Label, _edits, alike, near_labels
from podfence.questions.lint.notes import notes_for
from podfence.questions.phrases.matched import MatchedPods
from podfence.testing.builders import namespace, peer, pod, policy, rule

TELLER = pod("bank/teller-1", {"app": "teller", "tier": "front"}, addresses=["10.1.0.1"])
VAULT = pod("bank/vault-1", {"app.kubernetes.io/name": "vault"}, addresses=["10.1.0.2"])
WATCHER = pod("watch/watcher-1", {"app": "watcher"}, addresses=["10.1.0.3"])
OBJECTS: tuple[ClusterObject, ...] = (namespace("watch", {"team": "blue"}), TELLER, VAULT, WATCHER)


def found(value: ClusterObject, *more: ClusterObject) -> list[LintFinding]:
    index = compile_cluster(Cluster.of([*OBJECTS, *more, value]))
    return list(notes_for(index, index.cluster.policies[0]))


def about(labels: dict[str, str], name: str = "bank/closed") -> list[LintFinding]:
    return found(policy(name, labels))


@pytest.mark.parametrize(
    ("labels", "instead"),
    [
        ({"app": "tellre"}, "app=teller instead of app=tellre would match bank/teller-1"),
        ({"app": "Teller"}, "app=teller instead of app=Teller"),
        ({"app": "tellers"}, "app=teller instead of app=tellers"),
        ({"ap": "teller"}, "app=teller instead of ap=teller"),
        ({"appp": "vault"}, ""),
        ({"tiers": "front"}, "tier=front instead of tiers=front"),
        ({"app": "teler", "tier": "front"}, "app=teller instead of app=teler"),
        ({"app": "teller", "tier": "fornt"}, "tier=front instead of tier=fornt"),
        ({"app": "vault"}, "app.kubernetes.io/name=vault instead of app=vault"),
    ],
)
def test_the_near_label_is_named(labels: dict[str, str], instead: str) -> None:
    findings = about(labels)
    if instead:
        [finding] = findings
        assert (finding.code, finding.path) == ("PF320", "spec.podSelector")
        assert instead in finding.text
    else:
        assert [finding.code for finding in findings] == ["PF306"]


SHORT = pod("bank/db-1", {"app": "db"}, addresses=["10.1.0.4"])


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("db", "dbb", "app=db instead of app=dbb would match bank/db-1"),
        ("db-closed", "bd", "app=db instead of app=bd"),
        ("db", "d", "app=db instead of app=d"),
        ("closed", "dbb", ""),
        ("db", "db2", ""),
        ("db", "web", ""),
        ("dba", "dbb", ""),
        ("teller", "eller", "app=teller instead of app=eller"),
        ("eller", "eller", ""),
    ],
)
def test_the_name_of_a_policy_tells_how_a_short_word_is_spelt(
    name: str, value: str, instead: str
) -> None:
    [finding] = found(policy(f"bank/{name}", {"app": value}), SHORT)
    assert (finding.code, instead in finding.text) == ("PF320" if instead else "PF306", True)


def one_of(key: str, *values: str) -> LabelSelectorRequirement:
    return LabelSelectorRequirement(key, Operator.IN, values)


FRONT = pod("bank/fe-1", {"tier": "fe"}, addresses=["10.1.0.5"])
DESK = pod("bank/ui-1", {"tier": "ui"}, addresses=["10.1.0.6"])


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    [
        ("batch-may-reach-fe", "be", ""),
        ("fe-from-be", "we", ""),
        ("ux-lab-beside-ui", "ux", ""),
        ("lab-beside-ui", "ux", ""),
        ("lab-beside-ui", "uid", ""),
        ("lab-beside-ui", "uii", "tier=ui instead of tier=uii"),
        ("lab-beside-ui", "iu", "tier=ui instead of tier=iu"),
        ("lab-beside-ui", "u", "tier=ui instead of tier=u"),
        ("ui", "ux", "tier=ui instead of tier=ux"),
    ],
)
def test_another_letter_of_a_short_word_is_another_word(
    name: str, value: str, instead: str
) -> None:
    """A name is about peers as often, and ``be`` is one letter from ``fe``."""
    [finding] = found(policy(f"bank/{name}", {"tier": value}), FRONT, DESK)
    assert (finding.code, instead in finding.text) == ("PF320" if instead else "PF306", True)


@pytest.mark.parametrize(
    "written",
    [
        peer(pods={"tier": "fe"}),
        peer(pods={"tier": "fe"}, namespaces={}),
        peer(pods=LabelSelector((), (one_of("tier", "fe", "web"),))),
    ],
)
@pytest.mark.parametrize("name", ["fe", "batch-may-reach-fe"])
@pytest.mark.parametrize("value", ["be", "ef", "fee"])
def test_what_a_peer_is_called_is_not_what_the_subject_should_be(
    value: str, name: str, written: NetworkPolicyPeer
) -> None:
    findings = found(policy(f"bank/{name}", {"tier": value}, ingress=[rule(written)]), FRONT)
    assert [finding.code for finding in findings] == ["PF306"]


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("db", "dbb", []),
        ("db", "dc", []),
        ("teller", "eller", [(("app", "eller"), ("app", "teller"))]),
    ],
)
def test_no_repair_goes_by_the_name_of_a_policy(
    name: str, value: str, near: list[tuple[Label, Label]]
) -> None:
    """``check --fix`` writes only what is near without it."""
    index = compile_cluster(Cluster.of([*OBJECTS, SHORT, policy(f"bank/{name}", {"app": value})]))
    [written] = index.cluster.policies
    [finding] = notes_for(index, written)
    assert finding.code == "PF320"
    case = LintedPolicy.of(
        index, written, None, MatchedPods(index), WrittenObjects(index, lambda _: None)
    )
    assert near_labels(case, "spec.podSelector") == near


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(policy("bank/p", {"app": "cashier"}), id="nothing is near"),
        pytest.param(policy("bank/p", {"app": "teler", "tier": "back"}), id="two are wrong"),
        pytest.param(policy("bank/teler-closed", {"app": "teler"}), id="the name says so, too"),
        pytest.param(policy("watch/p", {"app": "teler"}), id="near only in another namespace"),
        pytest.param(policy("bank/p", {"app": "teller2"}), id="a number more"),
    ],
)
def test_what_is_not_near_selects_nobody_as_before(value: ClusterObject) -> None:
    assert [finding.code for finding in found(value)] == ["PF306"]


def test_a_key_may_be_misspelt_though_the_name_says_the_value() -> None:
    [finding] = about({"appp": "teller"}, "bank/teller-closed")
    assert finding.code == "PF320"
    assert "app=teller instead of appp=teller" in finding.text


def test_namespaces_that_every_cluster_has_are_near_too() -> None:
    wrong = peer(namespaces={METADATA_NAME_LABEL: "kube-sytem"})
    value = policy("bank/p", {"app": "teller"}, ingress=[rule(wrong)])
    [finding] = found(value)
    assert finding.code == "PF320"
    assert "would match kube-system" in finding.text


def test_a_pod_that_is_meant_silences_it() -> None:
    assert found(policy("bank/p", {"app": "tellre"}), pod("bank/x", {"app": "tellre"})) == []


@pytest.mark.parametrize(
    ("item", "code", "path", "instead"),
    [
        (peer(pods={"app": "tellre"}), "PF320", "podSelector", "app=teller instead of app=tellre"),
        (
            peer(pods={"app": "wacher"}, namespaces={"team": "blue"}),
            "PF320",
            "podSelector",
            "app=watcher instead of app=wacher would match watch/watcher-1",
        ),
        (
            peer(pods={"app": "wacher"}, namespaces={}),
            "PF320",
            "podSelector",
            "app=watcher instead of app=wacher",
        ),
        (
            peer(namespaces={"team": "bleu"}),
            "PF320",
            "namespaceSelector",
            "team=blue instead of team=bleu would match watch",
        ),
        (
            peer(namespaces={METADATA_NAME_LABEL: "wathc"}),
            "PF320",
            "namespaceSelector",
            f"{METADATA_NAME_LABEL}=watch instead of",
        ),
        (
            peer(pods={"app": "watcher"}, namespaces={"name": "watch"}),
            "PF321",
            "namespaceSelector",
            f"{METADATA_NAME_LABEL} is the label that holds the name",
        ),
    ],
)
def test_peers(item: object, code: str, path: str, instead: str) -> None:
    value = policy("bank/p", {"app": "teller"}, ingress=[rule(peer(pods={})), rule(item)])  # type: ignore[arg-type]
    [finding] = [each for each in found(value) if each.code != "PF319"]
    assert (finding.code, finding.path) == (code, f"spec.ingress[1].from[0].{path}")
    assert instead in finding.text


@pytest.mark.parametrize(
    ("word", "other", "edits"),
    [
        ("teller", "tellre", 1),
        ("teller", "teler", 1),
        ("teller", "ttellerr", 2),
        ("web", "wbe", 1),
        ("abc", "cab", 2),
        ("", "ab", 2),
        ("same", "same", 0),
    ],
)
def test_edits_are_counted(word: str, other: str, edits: int) -> None:
    assert _edits(word, other) == _edits(other, word) == edits


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("web-1", "web-2"),
        ("redis", "redis6"),
        ("api", "app"),
        ("dev", "prod"),
        ("db", "bd"),
        ("stage", "stack"),
    ],
)
def test_other_words_are_other_words(word: str, other: str) -> None:
    assert not alike(word, other)
