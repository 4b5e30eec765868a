"""What a test file may say, and what is said of one that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from podfence.errors import Source
from podfence.questions.tests.decode import decode
from podfence.questions.tests.form import AddressEnd
from podfence.questions.tests.words import read_end, read_port, read_target

HEAD = """\
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
defaults: {namespace: shop}
"""


def wrong(text: str) -> list[str]:
    data: dict[str, Any] = yaml.safe_load(HEAD + text)
    found, problems = decode(data, Source("t.podfence.yaml"))
    assert (found is None) is bool(problems)
    return [problem.message for problem in problems]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("test: []", "test: unknown field 'test'; did you mean tests?"),
        ("tests: []", "tests: has no test; write at least one"),
        ("tests: {}", "tests: expected a list, got object"),
        ("tests: [{from: a, to: b, expect: deny}]", "tests[0]: has no name"),
        (
            "tests: [{name: x, from: a, to: b}]",
            "tests[0]: states no expectation; write one of expect, only, isolated",
        ),
        (
            "tests: [{name: x, from: a, to: b, expect: denied}]",
            "tests[0].expect: 'denied' is not one of allow, deny, some",
        ),
        (
            "tests: [{name: x, to: b, expect: deny}]",
            "tests[0]: has no from; name both ends of the connection",
        ),
        (
            "tests: [{name: x, from: a, to: b, only: [c]}]",
            "tests[0]: only describes one side; name either from or to",
        ),
        (
            "tests: [{name: x, from: 'a:80', to: b, expect: deny}]",
            "tests[0].from: a:80: a source has no port; leave it out",
        ),
        (
            "tests: [{name: x, from: $ab, to: b, expect: deny}]\ngroups: {abc: [a]}",
            "tests[0].from: unknown group $ab; did you mean $abc?",
        ),
        ("tests: []\ngroups: {a: $b, b: $a}", "groups.a: group $a names itself"),
        (
            "groups: {a: {pods: {matchExpressions: [{key: app, operator: In}]}}}",
            "groups.a.pods.matchExpressions[0].values: In needs values",
        ),
        (
            "groups: {a: {pods: {matchExpressions: [{key: app, operator: NotIn, values: []}]}}}",
            "groups.a.pods.matchExpressions[0].values: NotIn needs values",
        ),
        (
            "groups: {a: {pods: {matchExpressions: [{key: x, operator: Exists, values: [y]}]}}}",
            "groups.a.pods.matchExpressions[0].values: Exists takes no values",
        ),
        (
            "tests: []\ngroups: {a: 'db:80'}",
            "groups.a: db:80: a group has no ports; write $a:80 where it is used",
        ),
        (
            "tests: [{name: x, from: a, to: b, ports: [], expect: deny}]",
            "tests[0].ports: is empty, so there is nothing to ask; leave it out for any",
        ),
        (
            "tests: [{name: x, isolated: [ingres], newcomers: {}}]",
            "tests[0].isolated[0]: 'ingres' is not one of egress, ingress",
        ),
        (
            "tests: [{name: x, isolated: [ingress]}]",
            "tests[0]: isolated applies to pods; name them with newcomers or with to",
        ),
        (
            (
                "tests: [{name: x, from: a, to: b, expect: deny},"
                " {name: x, from: b, to: a, expect: deny}]"
            ),
            "tests[1].name: 'x' is also tests[0]",
        ),
        (
            "tests: [{name: x, from: {podz: {}}, to: b, expect: deny}]",
            "tests[0].from.podz: unknown field 'podz'; did you mean pods?",
        ),
        (
            "tests: [{name: x, from: {pods: {matchLabels: {a: 1}}}, to: b, expect: deny}]",
            "tests[0].from.pods.matchLabels.a: a label is a string, got number; put it in quotes",
        ),
        (
            (
                "tests: [{name: x, from: a, to: b, expect: deny, given: [{patch: {kind: Namespace,"
                " name: shop, labels: {kubernetes.io/metadata.name: null}}}]}]"
            ),
            (
                "tests[0].given[0].patch.labels[kubernetes.io/metadata.name]: the API server sets "
                "this label to the name of the namespace (NP-21)"
            ),
        ),
        (
            (
                "tests: [{name: x, from: a, to: b, expect: deny, given: [{remove: {kind: Policy,"
                " name: p}}]}]"
            ),
            "tests[0].given[0].remove.kind: 'Policy' is not one of ",
        ),
        (
            (
                "tests: [{name: x, from: a, to: b, expect: deny, given: [{add: {apiVersion: "
                "networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p}, "
                "spec: {podSelector: 1}}}]}]"
            ),
            "tests[0].given[0].add.spec.podSelector: ",
        ),
        ("tests: []\nfixtures: {pods: [{name: a, ports: {sql: 70000}}]}", "fixtures.pods[0].ports"),
    ],
)
def test_a_mistake_is_said_with_its_path(text: str, said: str) -> None:
    assert any(message.startswith(said) for message in wrong(text)), wrong(text)


def test_all_mistakes_are_said_at_once() -> None:
    assert len(wrong("tests: [{nam: x, from: a, to: 'b:x/y', expect: maybe}]")) == 4


@pytest.mark.parametrize(
    ("word", "ports"),
    [
        ("5432", "TCP/5432"),
        (53, "TCP/53"),
        ("9100-9110", "TCP/9100-9110"),
        ("53/udp", "UDP/53"),
        ("udp", "UDP"),
        ("icmp", "other"),
        ("any", "all"),
    ],
)
def test_words_for_ports(word: str | int, ports: str) -> None:
    assert str(read_port(word).numbers) == ports


@pytest.mark.parametrize("word", ["0", "65536", "2-1", "1-", "x/quic", "", "a b"])
def test_words_that_are_no_port(word: str) -> None:
    with pytest.raises(ValueError, match="is not a port"):
        read_port(word)


@pytest.mark.parametrize(
    ("word", "end", "ports"),
    [
        ("db:sql", "db", "sql"),
        ("shop/db", "shop/db", None),
        ("[2001:db8::1]:443", "2001:db8::1", "443"),
        ("2001:db8::/32", "2001:db8::/32", None),
        ("203.0.113.0/25", "203.0.113.0/25", None),
        ("kube-system/k8s-app=kube-dns:53/udp", "kube-system/k8s-app=kube-dns", "53/udp"),
        ("app.kubernetes.io/name=db", "app.kubernetes.io/name=db", None),
    ],
)
def test_words_for_ends(word: str, end: str, ports: str | None) -> None:
    found, asked = read_target(word, "shop")

    assert (found.text, asked.text if asked else None) == (end, ports)


@pytest.mark.parametrize("word", ["a:b:c", "2001:db8::1:443x", "shop/", "/db", "1.2.3.4/40"])
def test_words_that_are_no_end(word: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_target(word, "shop")


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ],
)
def test_ipv4_written_as_ipv6_is_ipv4(written: str, plain: str) -> None:
    """A wider block is IPv6: more than IPv4 lies in it."""
    blocks = (written, plain, "::fffe:0:0/95")
    first, same, wider = (end.addresses for end in map(_address_end, blocks))
    assert first == same != wider


def _address_end(word: str) -> AddressEnd:
    end = read_end(word, "shop")
    assert isinstance(end, AddressEnd)
    return end
