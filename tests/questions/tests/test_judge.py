"""What comes of a test: passed, failed by one connection, or vacuous with a reason."""

from __future__ import annotations

import pytest

from podfence.questions.tests.judge import ResultStatus
from tests.questions.tests.judged import cluster, result

SHOP = cluster(
    """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: v1
kind: Namespace
metadata: {name: watch, labels: {team: b}}
---
apiVersion: v1
kind: Namespace
metadata: {name: lone}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, ports: [
    {name: sql, containerPort: 5432}, {name: dns, containerPort: 53, protocol: UDP}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: eye, namespace: watch, labels: {app: eye}}
spec: {containers: [{name: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: lone}
spec: {containers: [{name: c}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, clusterIP: 10.96.0.1, ports: [{port: 15432, targetPort: sql}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: sql}]
  - from: [{namespaceSelector: {matchLabels: {team: b}}}]
    ports: [{port: 9100, endPort: 9102}]
  - from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}]
    ports: [{port: 443}]
"""
)
PASSED, FAILED, VACUOUS = ResultStatus.PASSED, ResultStatus.FAILED, ResultStatus.VACUOUS


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("{from: web, to: 'db:sql', expect: allow}", PASSED),
        ("{from: web, to: 'db:5432', expect: allow}", PASSED),
        ("{from: web, to: db, ports: [5432, 5433], expect: allow}", FAILED),
        ("{from: web, to: db, ports: [5432, 5433], expect: some}", PASSED),
        ("{from: web, to: db, ports: [5433, icmp], expect: some}", FAILED),
        ("{from: web, to: db, expect: deny}", FAILED),
        ("{from: web, to: 'db:5432/udp', expect: deny}", PASSED),
        ("{from: web, to: 'service/db:15432', expect: allow}", PASSED),
        ("{from: web, to: 'service/shop/db:5432', expect: allow}", VACUOUS),
        ("{from: '*', to: 'db:sql', expect: deny}", FAILED),
        ("{from: watch/*, to: 'db:sql', expect: deny}", PASSED),
        ("{from: '*/app=eye', to: 'db:9100-9102', expect: allow}", PASSED),
        ("{from: '*/app=eye', to: 'db:9100-9103', expect: allow}", FAILED),
        # addresses
        ("{from: 203.0.113.0/25, to: 'db:443', expect: allow}", PASSED),
        ("{from: 203.0.113.0/24, to: 'db:443', expect: allow}", FAILED),
        ("{from: 203.0.113.0/24, to: 'db:443', expect: some}", PASSED),
        ("{from: outside, to: 'db:443', expect: deny}", FAILED),
        ("{from: {ends: outside, except: 203.0.113.0/25}, to: 'db:443', expect: deny}", PASSED),
        ("{from: internet, to: 'db:sql', expect: deny}", PASSED),
        ("{from: web, to: outside, expect: allow}", PASSED),
        # only
        (
            (
                "{to: db, only: [{from: web, ports: [sql]}, {from: watch/*, ports: [9100-9102]},"
                " {from: 203.0.113.0/25, ports: [443]}]}"
            ),
            PASSED,
        ),
        (
            (
                "{to: db, only: [{from: web, ports: [sql]}, {from: watch/*, ports: [9100-9101]},"
                " {from: 203.0.113.0/25, ports: [443]}]}"
            ),
            FAILED,
        ),
        (
            (
                "{to: db, only: [{from: web, ports: [sql]}, {from: watch/*, ports: [9100-9102]},"
                " {from: 203.0.113.0/26, ports: [443]}]}"
            ),
            FAILED,
        ),
        ("{to: 'db:sql', only: [web]}", PASSED),
        ("{to: 'db:sql', only: [watch/*]}", FAILED),
        ("{to: db, only: [web, watch/*, 203.0.113.0/25]}", PASSED),
        ("{to: 'db:sql', only: [web, {from: watch/eye, optional: true}]}", PASSED),
        ("{to: 'db:80', only: [{from: web, optional: true}]}", PASSED),
        # a pod to come that the test describes: the ingress of the shop is closed to it
        (
            (
                "{from: watch/eye, ports: [9100], only: [db, outside, watch/*, lone/*,"
                " {to: +/*, optional: true}, {to: {namespace: shop, newcomer: {app: db}}}]}"
            ),
            PASSED,
        ),
        (
            (
                "{from: watch/eye, ports: [9100], only: [db, outside, watch/*, lone/*,"
                " {to: +/*, optional: true}, {to: {namespace: shop, newcomer: {app: new}}}]}"
            ),
            FAILED,
        ),
        ("{from: web, ports: [5432], only: [db, outside, watch/*, lone/*]}", FAILED),
        (
            (
                "{from: web, ports: [5432], only: [db, outside, watch/*, lone/*,"
                " {to: +/*, optional: true}]}"
            ),
            PASSED,
        ),
        # direction
        ("{from: web, to: watch/eye, by: ingress, expect: allow}", PASSED),
        ("{from: web, to: 'db:sql', by: egress, expect: allow}", PASSED),
        ("{from: watch/eye, to: 'db:sql', by: egress, expect: deny}", FAILED),
        ("{from: watch/eye, to: 'db:sql', by: ingress, expect: deny}", PASSED),
        # isolation
        ("{newcomers: {namespace: shop}, isolated: [ingress]}", PASSED),
        ("{newcomers: {namespace: shop}, isolated: [ingress, egress]}", FAILED),
        ("{newcomers: {}, isolated: [ingress]}", FAILED),
        ("{to: db, isolated: [ingress]}", PASSED),
        ("{to: watch/*, isolated: [ingress]}", FAILED),
        # groups of namespaces
        ("{groupBy: {namespaceLabel: team}, ports: [80], expect: deny}", FAILED),
        ("{groupBy: {namespaceLabel: team}, to: 'db:sql', expect: deny}", PASSED),
        (
            (
                "{groupBy: {namespaceLabel: team}, to: db, unless: [{from: watch/*,"
                " ports: [9100-9102]}], expect: deny}"
            ),
            PASSED,
        ),
        # newcomers
        ("{from: {namespace: shop, newcomer: {app: web}}, to: 'db:sql', expect: allow}", PASSED),
        ("{from: {namespace: shop, newcomer: {}}, to: db, expect: deny}", PASSED),
        ("{from: {namespace: watch, newcomer: {}}, to: 'db:9100', expect: deny}", FAILED),
        # what if
        (
            (
                "{given: [{patch: {kind: Namespace, name: watch, labels: {team: null}}}],"
                " from: eye, to: 'db:9100', expect: deny}"
            ),
            VACUOUS,  # a bare name is in shop
        ),
        (
            (
                "{given: [{patch: {kind: Namespace, name: watch, labels: {team: null}}}],"
                " from: watch/eye, to: 'db:9100', expect: deny}"
            ),
            PASSED,
        ),
        (
            (
                "{given: [{remove: {kind: NetworkPolicy, name: db}}, {remove: {kind: netpol,"
                " name: closed}}], from: eye, to: 'db:sql', expect: allow}"
            ),
            VACUOUS,
        ),
        (
            (
                "{given: [{remove: {kind: NetworkPolicy, name: db}}], from: web, to: 'db:sql',"
                " expect: deny}"
            ),
            PASSED,
        ),
        (
            (
                "{given: [{patch: {kind: Pod, name: web, labels: {app: other}}}], from: web,"
                " to: 'db:sql', expect: deny}"
            ),
            PASSED,
        ),
        (
            (
                "{given: [{add: {apiVersion: v1, kind: Pod, metadata: {name: new, labels: {app: "
                "web}}, spec: {containers: [{name: c}]}}}], from: new, to: 'db:sql', expect: allow}"
            ),
            PASSED,
        ),
        (
            "{given: [{remove: {kind: Pod, name: nobody}}], from: web, to: db, expect: deny}",
            VACUOUS,
        ),
    ],
)
def test_what_comes_of_a_test(text: str, status: ResultStatus) -> None:
    found = result(SHOP, text)

    assert found.status is status, (found.witness, found.misses, found.text)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("{from: wbe, to: db, expect: deny}", "PF501", "did you mean shop/web"),
        ("{from: shop/app=wbe, to: db, expect: deny}", "PF501", "did you mean app=web (1 pod)?"),
        ("{from: shopp/*, to: db, expect: deny}", "PF501", "did you mean shop?"),
        ("{from: shop/ap=db, to: db, expect: deny}", "PF501", "did you mean app?"),
        (
            "{from: web, to: db, expect: deny, given: [{remove: {kind: Pod, name: x}}]}",
            "PF501",
            "Pod shop/x",
        ),
        ("{groupBy: {namespaceLabel: owner}, expect: deny}", "PF501", "no namespace has the label"),
        ("{from: db, to: db, expect: deny}", "PF502", "a pod and itself"),
        ("{from: outside, to: outside, expect: deny}", "PF502", "no pair can be judged"),
        ("{from: web, to: 'db:http', expect: deny}", "PF503", "there are dns/udp, sql"),
        ("{from: web, to: 'db:dns', expect: deny}", "PF503", "there are dns/udp, sql"),
        (
            "{from: web, to: 'service/db:1-9', expect: deny}",
            "PF503",
            "is a Service; ask for one of",
        ),
        ("{from: web, to: db, unless: [{to: db}], expect: deny}", "PF504", "unless removes"),
        ("{to: 'db:sql', only: [web, {from: shop/app=wbe, optional: true}]}", "PF505", "app=web"),
    ],
)
def test_a_test_that_proves_nothing_is_no_pass(text: str, code: str, said: str) -> None:
    found = result(SHOP, text)

    assert found.status is VACUOUS
    assert [miss.code for miss in found.misses][:1] == [code]
    assert said in found.misses[0].text
    assert result(SHOP, f"{text[:-1]}, allowEmpty: true}}").status is not VACUOUS or (
        "given" in text
    )


SHARED = cluster(
    """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
"""
    + "".join(
        f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop}}
spec: {{containers: [{{name: c}}]}}
status: {{podIP: {address}, podIPs: [{{ip: {address}}}]}}
"""
        for name, address in (("web", "10.0.0.1"), ("old", "10.0.0.1"), ("db", "10.0.0.2"))
    )
)


@pytest.mark.parametrize(
    "text",
    [
        "{from: web, to: db, expect: allow}",
        "{from: db, to: [web, old], expect: allow}",
        "{from: web, to: db, expect: allow, unless: [{to: old}]}",
    ],
)
def test_pods_of_one_address_are_in_no_pair_and_are_named(text: str) -> None:
    """NP-60a: whose the address is nobody knows."""
    found = result(SHARED, text)

    assert found.status is VACUOUS
    (miss,) = found.misses
    assert (miss.code, "is surely its own" in miss.text) == ("PF502", True)
    assert "shop/web" in miss.text
    assert "shop/db" not in miss.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{from: watch/eye, to: lone/one, expect: allow}", "no policy decides this"),
        ("{from: shop/web, to: shop/web2, expect: allow}", ""),
    ],
)
def test_a_test_that_proves_little_says_so(text: str, said: str) -> None:
    found = result(SHOP, text)

    assert found.weak.startswith(said)


def test_the_counterexample_names_the_rule_that_decided() -> None:
    found = result(SHOP, "{from: '*', to: 'db:9100', expect: deny}")

    assert found.witness is not None
    assert (found.witness.source, found.witness.destination) == ("watch/eye", "shop/db")
    assert (found.witness.protocol, found.witness.port) == ("TCP", 9100)
    assert [origin.path for origin in found.witness.origins] == ["spec.ingress[1]"]
    assert found.total == 1


def test_a_pod_and_itself_are_no_counterexample() -> None:
    assert result(SHOP, "{from: shop/*, to: web, expect: deny}").status is PASSED


def test_fixtures_are_pods_that_the_manifests_lack() -> None:
    policies = cluster(
        """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {team: b}}}]
    ports: [{port: sql}]
"""
    )
    fixtures = {
        "pods": [
            {"name": "db", "labels": {"app": "db"}, "ports": {"sql": 5432}},
            {"name": "watch/eye"},
            {"name": "web"},
        ],
        "namespaces": {"watch": {"team": "b"}},
    }

    allowed = result(policies, "{from: watch/eye, to: 'db:sql', expect: allow}", fixtures=fixtures)
    denied = result(policies, "{from: web, to: 'db:sql', expect: deny}", fixtures=fixtures)
    assert (allowed.status, denied.status) == (PASSED, PASSED)


def test_a_test_that_shall_fail_fails_when_it_passes() -> None:
    good = "{from: web, to: 'db:sql', expect: allow, expectFailure: later}"
    bad = "{from: web, to: 'db:sql', expect: deny, expectFailure: later}"
    assert (result(SHOP, good).status, result(SHOP, bad).status) == (FAILED, PASSED)
