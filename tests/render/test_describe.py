"""render_description: the layout, byte for byte, and hostile names in it."""

from __future__ import annotations

from podfence.errors import Source
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.questions.describe import describe
from podfence.questions.lint.notes import notes_for
from podfence.render.describe import WIDTH, render_description
from podfence.testing.builders import namespace, peer, pod, policy, rule

PODS = (
    namespace("shop"),
    namespace("mon", {"team": "ops"}),
    pod("shop/web", {"app": "web"}, addresses=["10.1.0.1"], ports=["http:8080"]),
    pod("shop/db", {"app": "db"}, addresses=["10.1.0.2"], ports=["sql:5432"]),
    pod("mon/prom", {"app": "prom"}, addresses=["10.1.0.3"]),
)
EXPECTED = """\
NetworkPolicy shop/db  (x.yaml:)

Selects pods labelled app=db in namespace shop: 1 pod now.
  shop/db
policyTypes says Ingress and Egress.

Ingress. Isolated: these pods accept only the connections that a rule here, or a rule of
another policy, allows.
  - spec.ingress[0]  (x.yaml:spec.ingress[0])
    from any one of these 2:
    either pods labelled app=web in this namespace (shop) only
      now shop/web
    or pods that meet both conditions: labelled app=prom, and in a namespace labelled
      team=ops
      now mon/prom
    on the TCP port named sql (5432 on shop/db)
  - spec.ingress[1]  (x.yaml:spec.ingress[1])
    from everyone: every pod, every node and every address outside the cluster
    on TCP port 9187

Egress. Isolated, and no rule here: these pods open no connection, DNS included, unless
another policy allows it.

Policies add up: what any of these allows is allowed as well.
  shop/all: selects the same pods; isolates ingress and allows nothing  (x.yaml:)

Whatever policies say, these pass: answers on allowed connections, a pod to itself, and
a node to the pods that run on it.
"""


def position(source: Source | None, path: str) -> str:
    return f"x.yaml:{path}"


def nowhere(source: Source | None, path: str) -> str:
    return ""


def test_layout() -> None:
    value = policy(
        "shop/db",
        {"app": "db"},
        types=["Ingress", "Egress"],
        ingress=[
            rule(
                peer(pods={"app": "web"}),
                peer(pods={"app": "prom"}, namespaces={"team": "ops"}),
                ports=["sql"],
            ),
            rule(ports=[9187]),
        ],
    )
    index = compile_cluster(Cluster.of([*PODS, value, policy("shop/all")]))

    assert render_description(describe(index, value), position) == EXPECTED


def test_notes_come_last() -> None:
    value = policy("shop/deny-web", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))])
    index = compile_cluster(Cluster.of([*PODS, value]))
    text = render_description(describe(index, value), nowhere, notes_for(index, value))

    assert "\nnote[PF301]: the name or an annotation says deny, but the rules allow\n" in text


def test_hostile_names_stay_on_their_line() -> None:
    evil = "a\n\x1b[2J\u202e" + "b" * 240
    value = policy(f"shop/{evil}", {"app": evil}, ingress=[rule(peer(pods={evil: evil}))])
    victim = pod(f"shop/{evil}", {"app": evil}, addresses=["10.1.0.9"])
    index = compile_cluster(Cluster.of([*PODS, victim, value]))
    text = render_description(describe(index, value), nowhere, notes_for(index, value))

    assert text.replace("\n", "").isprintable()
    assert "\\x0a\\x1b[2J\\u202e" in text


def test_lines_are_no_wider_than_the_page() -> None:
    value = policy("shop/p", ingress=[rule(peer(pods={"app": "web"}), peer(cidr="10.0.0.0/8"))] * 3)
    crowd = [pod(f"shop/web-{n}", {"app": "web"}, addresses=[f"10.2.0.{n}"]) for n in range(1, 60)]
    index = compile_cluster(Cluster.of([*PODS, *crowd, value]))
    lines = render_description(describe(index, value), position).splitlines()

    assert max(map(len, lines)) <= WIDTH
    assert any("and 42 more" in line for line in lines)
