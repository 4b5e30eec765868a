"""Pages to look at: reports of examples and of values, and the engine's answers in the page's form.

Rule: the page is written as ``podfence report`` writes it; what it is compared with is asked of the
engine, never of the page's own data.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from podfence.engine.evaluate import Evaluator
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Decision, Flow
from podfence.policy.index import PolicyIndex
from podfence.questions.connectivity import Group
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.report import Report, report
from podfence.render.report_html import Assets, report_html
from podfence.render.report_map import map_data
from podfence.render.report_names import AsWritten
from podfence.render.report_newcomers import newcomers_data
from podfence.render.report_rules import rules_data
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import OTHER, PROTOCOLS
from tests.cli.session import ROOT, podfence
from tests.support.serving import Serving
from tests.web.chromium import Browser

STATIC = ROOT / "podfence" / "web" / "static"
EXAMPLES = (
    "examples/shop",
    "examples/tiers",
    "examples/gotchas",
    *sorted(
        str(path.relative_to(ROOT))
        for path in ROOT.glob("examples/tutorials/0*")
        if path.is_dir() and "as-printed" not in path.name
    ),
)


def assets() -> Assets:
    """The front end that is shipped."""
    script, style = ((STATIC / name).read_text("utf-8") for name in ("report.js", "report.css"))
    return Assets(script, style)


@contextmanager
def served_copy(
    browser: Browser, folder: Path, *words: str, example: str = "shop"
) -> Iterator[Serving]:
    """A server of an example's copy in ``folder``, with its page in the browser, which leaves it at
    the end. A copy that is there stays as it is."""
    if not (folder / example).exists():
        shutil.copytree(ROOT / "examples" / example, folder / example)
    with Serving("-f", example, *words, directory=folder) as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        yield server
        browser.leave()


def write(folder: Path, *arguments: str, stdin: bytes = b"", expected: int = 0) -> Path:
    """The page that ``podfence report`` writes."""
    page = folder / "report.html"
    done = podfence(["report", "-o", str(page), *arguments], stdin=stdin)
    assert done.status == expected, done.err
    return page


def write_cluster(folder: Path, cluster: Cluster) -> tuple[Path, Report]:
    """The page of a cluster that stands in no file."""
    found = report(compile_cluster(cluster))
    later = report(compile_cluster(with_newcomers(cluster, cluster.namespaces.keys())))
    today = map_data(found, AsWritten())
    about = {
        "schema": "podfence.report-about/v1",
        "version": "0",
        "title": "a cluster",
        "source": "",
        "live": False,
        "objects": {},
        "doubts": [],
    }
    parts = {
        "about": about,
        "map": today,
        "newcomers": newcomers_data(today, map_data(later, AsWritten())),
        "rules": rules_data(found, AsWritten(), lambda source, path: None, None),
    }
    page = folder / "cluster.html"
    page.write_text(report_html("a cluster", parts, assets()), "utf-8")
    return page, found


def index(protocol: str, port: int) -> int:
    """A port's index on the line of all ports."""
    return 3 << 16 if protocol == OTHER else (PROTOCOLS.index(protocol) << 16) + port


def indices(rules: dict[str, Any], most: int) -> list[int]:
    """Indices on both sides of every boundary in the rules, and a few that none names."""
    found = {index("TCP", 80), index("UDP", 53), index(OTHER, 0)}
    for ports in rules["ports"]:
        for first, last in zip(ports[::2], ports[1::2], strict=True):
            found |= {first - 1, first, last, last + 1}
    inside = sorted(each for each in found if 0 <= each <= index(OTHER, 0))
    step = max(1, len(inside) // most)
    return inside[::step]


Expected = dict[str, Any]


def answers(
    found: Report, pairs: Sequence[tuple[int, int]], asked: Sequence[int]
) -> list[Expected]:
    """What the engine says, one entry a pair, family and port index."""
    judge = Evaluator(found.index)
    groups = found.map.groups
    said = []
    for source, destination in pairs:
        for family in _shared(found, groups[source], groups[destination]):
            ends = (
                _address(found.index, groups[source], family, last=False),
                _address(found.index, groups[destination], family, last=True),
            )
            if None in ends:
                continue
            for at in asked:
                protocol = OTHER if at == 3 << 16 else PROTOCOLS[at >> 16]
                port = 0 if protocol == OTHER else at & 0xFFFF
                flow = Flow(ends[0], ends[1], protocol, port)  # type: ignore[arg-type]
                verdict = judge.verdict(flow)
                said.append(
                    {
                        "from": groups[source].name,
                        "to": groups[destination].name,
                        "family": family,
                        "index": at,
                        "allowed": verdict.allowed,
                        "egress": _decision(verdict.egress),
                        "ingress": _decision(verdict.ingress),
                    }
                )
    return said


def _shared(found: Report, source: Group, destination: Group) -> Iterator[int]:
    for family in found.families_of(source):
        if family in found.families_of(destination):
            yield family


def _address(index: PolicyIndex, group: Group, family: int, *, last: bool) -> IPAddress | None:
    """An address that stands for a group; None where every one of it is a node's, too, or one that
    several pods may have: about single addresses a map says nothing."""
    if group.workload is not None:
        pod = group.pods[-1 if last else 0]
        endpoint = index.endpoints[f"{group.workload.namespace}/{pod}"]
        return next((a for a in endpoint.addresses if a.version == family), None)
    assert group.addresses is not None
    make = IPv4Address if family == 4 else IPv6Address
    low, high = next(iter(group.addresses.family(family)))
    addresses = [make(number) for number in range(low, min(low + 8, high) + 1)]
    known = (index.by_node_address, index.contested, index.by_address)
    for address in addresses:
        same = index.outside_lookup.find(address) == index.outside_lookup.find(addresses[0])
        if same and not any(address in each for each in known):
            return address
    return None


def _decision(decision: Decision) -> list[Any]:
    origins = [[str(origin.policy), origin.path] for origin in decision.origins]
    return [decision.allowed, decision.reason.value, origins]


ASK = """
(async ({pairs, indices}) => {
  const rules = await podfence.rules();
  const names = podfence.world.endpoints.map((each) => each.name);
  const named = ({namespace, name}) => namespace ? `${namespace}/${name}` : name;
  const decision = ({allowed, reason, origins}) =>
    [allowed, reason, origins.map((each) => [named(rules.policies[each.policy]), each.path])];
  const said = [];
  for (const [from, to] of pairs) {
    for (const index of indices) {
      const protocol = index === 3 << 16 ? "OTHER" : ["TCP", "UDP", "SCTP"][index >> 16];
      const port = protocol === "OTHER" ? 0 : index & 0xffff;
      for (const each of await podfence.why(names[from], names[to], protocol, port)) {
        said.push({
          from: names[from], to: names[to], family: each.family, index, allowed: each.allowed,
          egress: decision(each.egress.decision), ingress: decision(each.ingress.decision),
        });
      }
    }
  }
  return said;
})
"""
"""What the page says, in the same form."""
