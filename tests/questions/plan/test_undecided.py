"""What an unreadable object takes away of a plan, and what it does not."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.doubt import Doubt
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, PolicyType
from podfence.model.objects import Namespace
from podfence.model.selectors import LabelSelector
from podfence.policy.compile import compile_cluster
from podfence.questions.plan.plan import Plan, plan
from podfence.sets import PortSet
from podfence.sets.ports import NOTHING
from podfence.testing.builders import namespace, peer, pod, policy, rule
from tests.support.random_changes import random_change

WORLD: list[ClusterObject] = [
    namespace("shop"),
    namespace("lab"),
    pod("shop/web", {"app": "web"}, addresses=["10.0.0.1"]),
    pod("shop/db", {"app": "db"}, addresses=["10.0.0.2"]),
    pod("lab/pc", {"app": "pc"}, addresses=["10.0.0.3"]),
]
DENY = policy("shop/deny", {"app": "db"}, types=["Ingress"])
ALLOW = policy("shop/allow", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[5432])])


def torn(name: str, app: str = "", where: str = "shop") -> Doubt:
    """A policy that could not be read, but for its selector."""
    selector = LabelSelector((("app", app),)) if app else LabelSelector()
    return Doubt("NetworkPolicy", where, name, selector=selector)


def planned(
    old: list[ClusterObject],
    new: list[ClusterObject],
    before: tuple[Doubt, ...] = (),
    after: tuple[Doubt, ...] = (),
    same: tuple[Doubt, ...] = (),
) -> Plan:
    earlier = replace(Cluster.of(old), doubts=before)
    later = replace(Cluster.of(new), doubts=after)
    return plan(earlier, later, newcomers=False, same=same)


def closed(found: Plan) -> set[tuple[str, str]]:
    return {
        (source.name, destination.name)
        for each in found.outcomes
        for source in each.sources.lines
        for destination in each.destinations.lines
    }


def test_without_doubts_everything_is_decided() -> None:
    found = planned(WORLD, [*WORLD, DENY])
    assert found.undecided == ()
    assert closed(found) == {("shop/web", "shop/db"), ("lab/pc", "shop/db")}


def test_an_unread_policy_of_one_side_leaves_its_pods_open() -> None:
    found = planned(WORLD, WORLD, after=(torn("x", "web"),))
    assert (found.undecided, found.outcomes) == (("shop/web",), ())


def test_a_policy_that_can_no_longer_be_read_is_no_edit() -> None:
    found = planned([*WORLD, DENY], WORLD, after=(torn("deny", "db"),))
    assert (found.undecided, found.outcomes, found.edits) == (("shop/db",), (), ())


def test_one_that_is_the_same_on_both_sides_hides_nothing_where_nothing_is_edited() -> None:
    doubt = torn("x", "web")
    found = planned(WORLD, [*WORLD, DENY], (doubt,), (doubt,), (doubt,))
    assert ("lab/pc", "shop/db") in closed(found)


def test_an_edit_beside_an_unread_policy_is_open_where_that_could_turn_it() -> None:
    """The unread policy may allow what the other one denies."""
    doubt = torn("x", "db")
    found = planned(WORLD, [*WORLD, DENY], (doubt,), (doubt,), (doubt,))
    assert (closed(found), found.undecided) == (set(), ("shop/db",))


def test_what_a_rule_allows_stays_allowed_whatever_else_is_there() -> None:
    doubt = torn("x", "db")
    found = planned([*WORLD, DENY], [*WORLD, ALLOW, DENY], (doubt,), (doubt,), (doubt,))
    assert found.undecided == ("shop/db",)  # it may have been allowed before


def test_pods_that_it_does_not_select_keep_their_changes() -> None:
    doubt = torn("x", "pc", "lab")
    found = planned(WORLD, [*WORLD, DENY], (doubt,), (doubt,), (doubt,))
    assert ("shop/web", "shop/db") in closed(found)
    assert ("lab/pc", "shop/db") not in closed(found)  # its egress is not known
    assert found.undecided == ("lab/pc",)


# -- an edit whose effect shows only together with what was not read

FROM_ALL = policy("shop/all", {"app": "db"}, ingress=[rule()])
TO_ALL = policy("lab/all", {"app": "pc"}, types=["Egress"], egress=[rule()])
RELABELLED = pod("lab/pc", {"app": "mac"}, addresses=["10.0.0.3"])


@pytest.mark.parametrize(
    ("types", "edited", "undecided"),
    [
        pytest.param(
            {"Ingress"}, [*WORLD, FROM_ALL], ("shop/db",), id="the pod is isolated already, perhaps"
        ),
        pytest.param(
            {"Ingress"}, [*WORLD, TO_ALL], ("shop/db",), id="the other end, the other direction"
        ),
        pytest.param(
            {"Ingress"},
            [*WORLD[:-1], RELABELLED],
            ("shop/db",),
            id="labels that it may ask for",
        ),
        pytest.param({"Egress"}, [*WORLD, TO_ALL], (), id="the same direction of another pod"),
    ],
)
def test_a_change_that_only_the_unread_policy_would_show_is_open(
    types: set[str], edited: list[ClusterObject], undecided: tuple[str, ...]
) -> None:
    """What was read gives the same verdicts before and after."""
    doubt = replace(torn("x", "db"), types=frozenset(map(PolicyType, types)))
    found = planned(WORLD, edited, (doubt,), (doubt,), (doubt,))
    assert (found.outcomes, found.undecided) == ((), undecided)


# -- what is said is so, whatever the unread policy says


Said = dict[tuple[str, str, int], tuple[PortSet, PortSet]]


def said(found: Plan, cluster: Cluster) -> Said:
    """What opens and closes between pods, one entry for each IP version that both have an address
    of, which nobody else has."""
    versions: dict[str, set[int]] = defaultdict(set)
    for address, holder in compile_cluster(cluster).by_address.items():
        versions[f"{holder.pod.namespace}/{holder.pod.name}"].add(address.version)
    everything: Said = {}
    for each in found.outcomes:
        for source, destination, family in product(
            each.sources.lines, each.destinations.lines, (4, 6)
        ):
            shared = versions[source.name] & versions[destination.name]
            if each.family in (None, family) and family in shared:
                key = source.name, destination.name, family
                opened, closed_ = everything.get(key, (NOTHING, NOTHING))
                everything[key] = opened | each.opened, closed_ | each.closed
    return everything


@given(st.randoms(use_true_random=False), st.integers(1, 3), st.booleans())
def test_what_is_certain_is_what_the_whole_input_says(
    rng: Random, edits: int, of_both: bool
) -> None:
    """One NetworkPolicy is hidden, from both sides or from the new one alone."""
    old, new = random_change(rng, edits)
    policies = [p for p in new.policies if not of_both or p in old.policies]
    if not policies:
        return
    hidden = rng.choice(policies)
    doubt = Doubt(
        "NetworkPolicy",
        hidden.ref.namespace,
        hidden.ref.name,
        selector=hidden.pod_selector,
        types=hidden.policy_types,
    )
    whole = said(plan(old, new, newcomers=False), new)
    sides = [old if not of_both else _without(old, hidden, doubt), _without(new, hidden, doubt)]
    found = plan(sides[0], sides[1], newcomers=False, same=(doubt,) if of_both else ())
    certain = said(found, new)
    for key, (opened, shut) in certain.items():
        assert opened <= whole.get(key, (NOTHING, NOTHING))[0]
        assert shut <= whole.get(key, (NOTHING, NOTHING))[1]
    for key, changed in whole.items():
        if not {key[0], key[1]} & set(found.undecided):
            assert certain.get(key) == changed


def _without(cluster: Cluster, hidden: NetworkPolicy, doubt: Doubt) -> Cluster:
    kept = tuple(policy for policy in cluster.policies if policy.ref != hidden.ref)
    return replace(cluster, policies=kept, doubts=(doubt,))


def test_two_pods_of_one_workload_are_not_one_pod() -> None:
    """What a pod sends to itself is certain; what it sends to its sibling is not."""
    owner = ObjectRef("Deployment", "shop", "web")
    twins = [
        replace(pod(f"shop/web-{n}", {"app": "web"}, addresses=[f"10.0.0.{n}"]), owner=owner)
        for n in (1, 2)
    ]
    closing = policy("shop/in", {"app": "web"}, types=["Ingress"])
    world: list[ClusterObject] = [namespace("shop"), *twins]
    assert closed(planned(world, [*world, closing])) == {("shop/web", "shop/web")}
    found = planned(world, [*world, closing], before=(torn("in"),))
    assert (found.undecided, found.outcomes) == (("shop/web",), ())


RUN = Doubt("Deployment", "shop", "api", path="spec.template.metadata.labels")


def test_a_workload_that_cannot_be_read_on_one_side_is_open() -> None:
    """It may be any pod of its namespace, and has none that could be compared."""
    for doubts in ((RUN,), ()), ((), (RUN,)):
        assert planned(WORLD, WORLD, *doubts).undecided == ("shop/api",)


@pytest.mark.parametrize(
    ("edited", "is_open"),
    [
        (policy("shop/x", {"app": "api"}, types=["Ingress"]), True),
        (policy("lab/x", {"app": "pc"}, types=["Ingress"]), False),
        (policy("lab/x", ingress=[rule(peer(pods={"app": "pc"}))]), False),
        (policy("lab/x", ingress=[rule(peer(namespaces={"a": "b"}))]), True),
        (policy("lab/x", ingress=[rule(peer(cidr="10.0.0.0/8"))]), True),
        (policy("lab/x", egress=[rule(ports=[80])]), True),
        (namespace("lab", {"a": "b"}), True),
    ],
    ids=["its own", "of others", "own pods", "namespaces", "addresses", "everybody", "labels"],
)
def test_a_workload_that_neither_side_can_read_is_open_where_an_edit_may_concern_it(
    edited: ClusterObject, is_open: bool
) -> None:
    others = [each for each in WORLD if not (isinstance(each, Namespace) and each.name == "lab")]
    new = [*others, edited] if isinstance(edited, Namespace) else [*WORLD, edited]
    found = planned(WORLD, new, (RUN,), (RUN,), (RUN,))
    assert ("shop/api" in found.undecided) is is_open


def test_where_nothing_is_edited_it_hides_nothing() -> None:
    assert planned(WORLD, WORLD, (RUN,), (RUN,), (RUN,)).undecided == ()
