"""Why somebody can come in through an entry: who sends, and what policies say of it."""

from __future__ import annotations

import io

import pytest

from podfence.errors import QuestionError, UnknownObject
from podfence.manifests.load import load
from podfence.model.entries import Controllers
from podfence.policy.compile import compile_cluster
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.entries import judge_entries
from podfence.questions.entrynames import called, is_entry
from podfence.questions.entryrows import EntryState
from podfence.questions.entrywhy import EntryAnswer, EntryAsker, EntryWay
from podfence.questions.why import WhyAnswer
from tests.questions.entryworld import (
    ANYBODY,
    CONTROLLER,
    WEB,
    ingress,
    obj,
    pod,
    policy,
    route,
    service,
)

FRONT = "entry/ingress/shop/front"
NGINX_ONLY = (
    "ingress: [{from: [{namespaceSelector: {matchLabels: "
    "{kubernetes.io/metadata.name: ingress-nginx}}}]}]"
)
CLOSED = "policyTypes: [Ingress]"
NGINX_CLASS = "ingressClassName: nginx, "


def asked(
    *texts: str, word: str = FRONT, target: Can | None = None, known: Controllers | None = None
) -> tuple[EntryAnswer, EntryAsker]:
    loaded = load(["-"], stdin=io.BytesIO("".join(texts).encode()))
    assert not loaded.errors
    entries = loaded.beside.entries(loaded.cluster, loaded.raw)
    asker = EntryAsker(
        QueryEvaluator(compile_cluster(loaded.cluster)), entries, known or Controllers()
    )
    return asker.answer(word, called(entries.entries, word), target), asker


def ways(*texts: str, word: str = FRONT, known: Controllers | None = None) -> list[EntryWay]:
    return list(asked(*texts, word=word, known=known)[0].ways)


def explanations(*texts: str, word: str = FRONT) -> list[WhyAnswer | None]:
    answer, asker = asked(*texts, word=word)
    return [asker.explanation(way) for way in answer.ways]


# -- names


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("entry/ingress/shop/front", True),
        ("entry/Ingress/shop/front", True),
        ("entry/ing/front", True),
        ("entry/ingress/shop/front a.example/", True),
        ("entry/hostport/shop/web", True),
        ("entry/web", False),
        ("entry/deployment/web", False),
        ("entry/ingress/", False),
        ("ingress/shop/front", False),
        ("entry", False),
    ],
)
def test_only_a_kind_of_entries_makes_a_word_an_entry(word: str, expected: bool) -> None:
    assert is_entry(word) is expected


TWO_PATHS = (
    "rules: [{host: a.example, http: {paths: ["
    "{path: /, backend: {service: {name: web, port: {number: 80}}}},"
    "{path: /v1/x, backend: {service: {name: api, port: {number: 80}}}}]}}]"
)
TWO = (
    WEB
    + pod("api")
    + service("api")
    + obj(
        "networking.k8s.io/v1",
        "Ingress",
        "front",
        f"spec: {{ingressClassName: nginx, {TWO_PATHS}}}",
    )
)


def test_a_name_means_every_path_and_a_host_with_its_path_means_one() -> None:
    every = ways(TWO, CONTROLLER)
    assert [way.row.to for way in every] == ["shop/web", "shop/api"]
    [way] = ways(TWO, CONTROLLER, word=f"{FRONT} a.example/v1/x")
    assert way.row.to == "shop/api"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("entry/ingress/shop/font", "did you mean entry/ingress/shop/front?"),
        ("entry/route/shop/front", "did you mean entry/ingress/shop/front?"),
        ("entry/route/ops/zzz", "there are entry/ingress/shop/front"),
        (f"{FRONT} b.example/", "it is for 'a.example/', 'a.example/v1/x'"),
    ],
)
def test_a_name_that_nothing_has_is_told_what_there_is(word: str, said: str) -> None:
    with pytest.raises(UnknownObject) as caught:
        asked(TWO, word=word)
    assert said in caught.value.message


def test_without_entries_that_is_said() -> None:
    with pytest.raises(UnknownObject, match="the input has no entries"):
        asked(pod("web"))


def test_a_target_narrows_the_answer_to_its_pods() -> None:
    answer, _ = asked(TWO, CONTROLLER, target=Can("", "shop/api", 0))
    assert [way.row.to for way in answer.ways] == ["shop/api"]
    with pytest.raises(QuestionError, match="it leads to shop/web TCP/8080 and shop/api TCP/8080"):
        asked(TWO, CONTROLLER, target=Can("", "shop/api", 80))


# -- the three words


@pytest.mark.parametrize(
    ("texts", "allowed"),
    [
        ((WEB, CONTROLLER, ingress(NGINX_CLASS), policy(NGINX_ONLY)), True),
        ((WEB, CONTROLLER, ingress(NGINX_CLASS), policy(CLOSED)), False),
        ((WEB, ingress(NGINX_CLASS), policy(NGINX_ONLY)), None),
        ((WEB, ingress(NGINX_CLASS)), True),
        ((TWO, CONTROLLER, policy(CLOSED)), False),
        ((TWO, policy(CLOSED), policy(NGINX_ONLY, "api")), None),
    ],
)
def test_an_unknown_way_leaves_no_answer_and_a_closed_one_no_yes(
    texts: tuple[str, ...], allowed: bool | None
) -> None:
    assert asked(*texts)[0].allowed is allowed


@pytest.mark.parametrize("rules", [NGINX_ONLY, CLOSED, ANYBODY])
def test_an_explanation_has_the_state_of_its_way(rules: str) -> None:
    texts = (TWO, CONTROLLER, policy(rules))
    for way, why in zip(ways(*texts), explanations(*texts), strict=True):
        assert why is not None
        assert why.case.verdict.allowed is (way.row.state is EntryState.OPEN)
        assert why.case.source.name == "ingress-nginx/nginx-1"


def test_a_way_is_explained_over_the_ip_version_that_is_open() -> None:
    addresses = "podIPs: [{ip: 10.0.0.%s}, {ip: 'fd00::%s'}]"

    def dual(text: str, number: int) -> str:
        listed = addresses % (number, number)
        return text.replace("}}\n", f"}}, status: {{{listed}}}}}\n", 1)

    six_only = "ingress: [{from: [{ipBlock: {cidr: 'fd00::/64'}}]}]"
    texts = (
        dual(pod("web"), 1),
        service(),
        dual(CONTROLLER, 2),
        ingress(NGINX_CLASS),
        policy(six_only),
    )
    [way], [why] = ways(*texts), explanations(*texts)
    assert way.row.state is EntryState.OPEN
    assert why is not None
    assert why.case.family == 6


UNREAD = obj(
    "networking.k8s.io/v1",
    "NetworkPolicy",
    "torn",
    "spec: {podSelector: {}, policyTypes: [Egress], egress: 5}",
    "ingress-nginx",
)


@pytest.mark.parametrize(
    ("rules", "state"), [(NGINX_ONLY, EntryState.UNKNOWN), (CLOSED, EntryState.CLOSED)]
)
def test_an_unread_policy_of_the_controller_leaves_open_only_what_hangs_on_it(
    rules: str, state: EntryState
) -> None:
    texts = (WEB, CONTROLLER, ingress(NGINX_CLASS), policy(rules), UNREAD)
    loaded = load(["-"], stdin=io.BytesIO("".join(texts).encode()))
    assert loaded.doubts
    index = compile_cluster(loaded.cluster)
    [row] = judge_entries(index, loaded.beside.entries(loaded.cluster, loaded.raw))
    assert row.state is state


# -- who sends


@pytest.mark.parametrize(
    ("texts", "word", "said"),
    [
        ((ingress(NGINX_CLASS), CONTROLLER), FRONT, "class nginx, by the labels of its pods"),
        ((ingress(), CONTROLLER), FRONT, "it names no class, by the labels of its pods"),
        ((ingress("ingressClassName: own, "),), FRONT, "class own, and no pod is known to serve"),
        ((route(),), "entry/httproute/shop/r", "no pod is known to serve Gateway shop/gw"),
    ],
)
def test_how_a_controller_is_known_is_told(texts: tuple[str, ...], word: str, said: str) -> None:
    [way] = ways(WEB, *texts, word=word)
    assert said in way.sent


@pytest.mark.parametrize(("label", "there"), [("app", True), ("other", False)])
def test_the_settings_are_told(label: str, there: bool) -> None:
    known = Controllers({"own": ("edge", ((label, "p"),))})
    [way] = ways(WEB, pod("p", "edge"), ingress("ingressClassName: own, "), known=known)
    assert f"which podfence.toml says is edge/{label}=p" in way.sent
    assert ("there is no such pod" in way.sent) is not there


def _exposed(kind: str, more: str = "") -> str:
    return WEB.replace("ports: [{name", f"type: {kind}, {more}ports: [{{name")


ONE_BLOCK = "ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]"


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
@pytest.mark.parametrize(
    ("local", "allowed"), [("externalTrafficPolicy: Local, ", True), ("", None)]
)
def test_the_address_of_a_client_is_known_only_where_it_is_kept(
    kind: str, local: str, allowed: bool | None
) -> None:
    word = f"entry/{kind.lower()}/shop/web"
    answer, asker = asked(_exposed(kind, local), policy(ONE_BLOCK), word=word)
    assert answer.allowed is allowed
    [way] = answer.ways
    assert ("a node" in way.sent) is (allowed is None)
    why = asker.explanation(way)
    assert why is not None
    assert why.case.source.name == "198.51.100.1"


def test_a_host_port_keeps_the_address_of_the_client() -> None:
    texts = (pod("web", port=", hostPort: 80"), policy(ONE_BLOCK))
    [way] = ways(*texts, word="entry/hostport/shop/web")
    assert way.row.state is EntryState.OPEN
    assert "a hostPort keeps" in way.sent


def test_an_example_of_a_closed_way_is_denied() -> None:
    texts = (pod("web", port=", hostPort: 80"), policy(CLOSED))
    [why] = explanations(*texts, word="entry/hostport/shop/web")
    assert why is not None
    assert not why.ingress.decision.allowed


def test_without_a_sender_the_rules_are_told_by_their_ports() -> None:
    other = "{ports: [{port: 9}]}"
    [way] = ways(WEB, ingress(NGINX_CLASS), policy(f"{NGINX_ONLY[:-1]}, {other}]"))
    assert way.row.state is EntryState.UNKNOWN
    assert [(rule.origin.path, rule.fits) for rule in way.rules] == [
        ("spec.ingress[0]", True),
        ("spec.ingress[1]", False),
    ]
    assert [str(origin.policy) for origin in way.isolated_by] == ["shop/web-policy"]


def test_an_entry_that_leads_to_no_pod_is_told_as_that() -> None:
    [way] = ways(ingress(NGINX_CLASS))
    assert way.row.state is EntryState.UNKNOWN
    assert "Service shop/web is not in the input" in way.row.because
    assert way.pods == ()
