"""A finding: something that does not do what its name or its shape suggests.

Rule: a finding is certain from the input and says what really happens; the API server accepts the
object. Every code is in LINT_RULES, has one meaning, and does not change.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from podfence.errors import Problem, Severity, Source
from podfence.model.meta import ObjectRef


class LintRule(Struct, frozen=True):
    """The meaning of a code, in one line. ``severity`` says how surely it is a mistake: an error
    cannot do what is written, a warning was hardly meant, a note is worth knowing."""

    severity: Severity
    slug: str
    """The code in words, usable wherever a code is."""
    title: str


LINT_RULES: Mapping[str, LintRule] = {
    "PF221": LintRule(
        Severity.WARNING,
        "tier-rule-never-reached",
        "a rule that never matches, because earlier rules of its tier match all of it",
    ),
    "PF222": LintRule(
        Severity.WARNING,
        "tied-tier-policies",
        "two policies of one tier and priority that judge the same connections differently",
    ),
    "PF223": LintRule(
        Severity.WARNING, "tier-subject-nobody", "the subject of a policy matches no pod"
    ),
    "PF224": LintRule(
        Severity.WARNING,
        "tier-service-addresses",
        "networks that contain Service addresses, which no rule ever sees",
    ),
    "PF225": LintRule(
        Severity.WARNING,
        "tier-catch-all",
        (
            "a rule that denies every address of one IP family denies pods too, or misses the "
            "other family"
        ),
    ),
    "PF301": LintRule(
        Severity.WARNING,
        "says-deny-but-allows",
        ("the name or an annotation says deny, but the rules allow"),
    ),
    "PF302": LintRule(
        Severity.WARNING,
        "empty-egress-without-type",
        "an empty egress list without policyTypes does not close egress",
    ),
    "PF303": LintRule(
        Severity.WARNING, "egress-closes-ingress", "egress rules without policyTypes close ingress"
    ),
    "PF304": LintRule(
        Severity.ERROR,
        "rules-without-type",
        "rules of a direction that policyTypes does not name have no effect",
    ),
    "PF305": LintRule(
        Severity.WARNING, "null-item", "a null list item is read as {} and allows everything"
    ),
    "PF306": LintRule(Severity.WARNING, "selects-no-pod", "the policy selects no pod"),
    "PF307": LintRule(Severity.NOTE, "peer-is-nobody", "a peer that matches no pod and no address"),
    "PF308": LintRule(
        Severity.ERROR,
        "unknown-port-name",
        "a named port that no destination declares allows nothing",
    ),
    "PF309": LintRule(
        Severity.WARNING,
        "service-port",
        "the number is a Service's port, but policies see the container's",
    ),
    "PF310": LintRule(
        Severity.NOTE, "allows-everyone", "a rule {} allows everyone, outside the cluster included"
    ),
    "PF311": LintRule(
        Severity.WARNING,
        "block-of-cluster-addresses",
        "an ipBlock that covers addresses of pods or Services",
    ),
    "PF312": LintRule(
        Severity.WARNING, "dns-without-udp", "port 53 over TCP alone is not enough for DNS"
    ),
    "PF313": LintRule(
        Severity.NOTE, "one-ip-family", "a catch-all of one IP family does not cover the other"
    ),
    "PF314": LintRule(
        Severity.WARNING,
        "and-meant-as-or",
        "two selectors in one item must both hold; as two items they would match pods",
    ),
    "PF315": LintRule(
        Severity.WARNING,
        "or-meant-as-and",
        "two items are alternatives; as one item they would match fewer pods",
    ),
    "PF316": LintRule(
        Severity.WARNING,
        "undone-by-other-policy",
        "another policy allows everything that this one restricts",
    ),
    "PF317": LintRule(
        Severity.WARNING, "reversed-direction", "the name says A to B, the rules allow B to A"
    ),
    "PF318": LintRule(
        Severity.WARNING,
        "port-of-the-other-end",
        "the port is declared by the end that connects, not by the end connected to",
    ),
    "PF319": LintRule(
        Severity.WARNING,
        "undone-by-neighbour",
        "a neighbour in the same policy allows what this one restricts",
    ),
    "PF320": LintRule(
        Severity.ERROR,
        "near-miss-label",
        ("a label that no object has, while a similar spelling exists"),
    ),
    "PF321": LintRule(
        Severity.ERROR,
        "namespace-label-nobody-has",
        "a label that no namespace has, whose value is the name of one",
    ),
    "PF322": LintRule(
        Severity.ERROR,
        "label-only-on-the-workload",
        "a label of the workload that its pods do not have",
    ),
    "PF323": LintRule(
        Severity.WARNING,
        "label-that-changes",
        "a selector asks for a label that changes with the next release",
    ),
    "PF324": LintRule(
        Severity.WARNING,
        "expression-takes-in-strangers",
        "a peer that only excludes also matches unknown namespaces or pods",
    ),
    "PF325": LintRule(
        Severity.ERROR,
        "policy-in-another-namespace",
        "a selector that matches no pod of its namespace, but pods of another",
    ),
    "PF326": LintRule(
        Severity.WARNING,
        "named-port-on-some",
        "a port name that some of the pods declare, and others only serve",
    ),
    "PF327": LintRule(
        Severity.ERROR, "port-of-another-protocol", "the port is declared for another protocol"
    ),
    "PF328": LintRule(
        Severity.WARNING, "range-over-everything", "a port range that contains nearly all ports"
    ),
    "PF329": LintRule(
        Severity.ERROR,
        "service-port-everywhere",
        "the number is a Service's port, and no connection through it passes",
    ),
    "PF330": LintRule(
        Severity.WARNING,
        "one-sided",
        "all that a rule allows is denied by the policies of the other end",
    ),
    "PF331": LintRule(
        Severity.NOTE, "dead-rule", "a rule that allows only what other rules allow anyway"
    ),
    "PF332": LintRule(Severity.NOTE, "policy-without-effect", "a policy that changes no verdict"),
    "PF333": LintRule(Severity.ERROR, "dns-closed", "pods that may not query the cluster's DNS"),
    "PF334": LintRule(
        Severity.ERROR, "dns-node-local", "DNS queries go to the node, and no rule allows that"
    ),
    "PF335": LintRule(
        Severity.WARNING,
        "dns-to-anywhere",
        "DNS to any address is the only way out, and tunnels use it",
    ),
    "PF336": LintRule(Severity.NOTE, "service-nobody-reaches", "a Service that nobody may reach"),
    "PF337": LintRule(
        Severity.ERROR,
        "entry-closed",
        "an Ingress or a route leads to pods that may not be reached through it",
    ),
    "PF338": LintRule(
        Severity.ERROR, "webhook-closed", "the API server may not call a webhook, or an API"
    ),
    "PF339": LintRule(
        Severity.WARNING, "api-server-closed", "pods that use the API may not connect to its server"
    ),
    "PF340": LintRule(
        Severity.ERROR,
        "service-range-block",
        "an ipBlock that contains only Service addresses, which no rule ever sees",
    ),
    "PF341": LintRule(
        Severity.WARNING,
        "internet-means-cluster",
        "a rule for the internet also matches pods of other namespaces",
    ),
    "PF350": LintRule(Severity.NOTE, "unprotected", "pods that no policy isolates"),
    "PF351": LintRule(
        Severity.WARNING,
        "namespace-open-for-new-pods",
        "a namespace with policies where a new pod would be open",
    ),
    "PF352": LintRule(
        Severity.WARNING,
        "open-to-the-outside",
        "outside addresses reach pods that no Service offers to the outside",
    ),
    "PF353": LintRule(
        Severity.WARNING, "metadata-open", "a rule that allows the metadata service of a cloud"
    ),
    "PF354": LintRule(
        Severity.NOTE, "all-ports-to-everywhere", "a rule for all ports of all outside addresses"
    ),
    "PF355": LintRule(
        Severity.ERROR, "tenants-meet", ("tenants that must be kept apart may connect")
    ),
    "PF356": LintRule(
        Severity.WARNING,
        "data-port-wide",
        "the port of a data store is open to more than named pods",
    ),
    "PF360": LintRule(
        Severity.ERROR, "host-network", "a selector that matches only host-network pods"
    ),
    "PF361": LintRule(Severity.WARNING, "unknown-mode", "an unknown mode: the policy is enforced"),
    "PF362": LintRule(Severity.NOTE, "audited", "the policy is audited, and enforces nothing"),
    "PF363": LintRule(
        Severity.WARNING,
        "stray-dash",
        "a rule with only peers beside a rule with only ports: one rule, split by a dash",
    ),
    "PF364": LintRule(
        Severity.WARNING,
        "plugin-lacks",
        ("the network plugin does not implement what the policy says"),
    ),
    "PF365": LintRule(
        Severity.WARNING,
        "conflicting-sources",
        "two sources define one policy with different effects",
    ),
}
LINT_CODES: Mapping[str, str] = {code: rule.title for code, rule in LINT_RULES.items()}
"""Every code with its meaning in one line."""
LINT_SLUGS: Mapping[str, str] = {rule.slug: code for code, rule in LINT_RULES.items()}
"""The code of every slug."""

NEEDS_EVERYBODY = frozenset(
    "PF223 PF306 PF307 PF308 PF309 PF314 PF315 PF318 PF320 PF321 PF322 PF325 PF327 PF329 PF330 "
    "PF360".split()
)
"""Codes of selectors, ports or rules that match nothing: objects that were not read may match
them."""


def code_of(name: str) -> str:
    """The code of a slug; any other text unchanged."""
    return LINT_SLUGS.get(name, name)


class LintFinding(Struct, frozen=True):
    """One finding. ``path`` is the field of ``object`` that it is about; ``text`` is complete
    without it."""

    code: str
    object: ObjectRef
    source: Source | None
    path: str
    text: str
    severity: Severity | None = None
    """Where it weighs otherwise than its code does."""
    about: str = ""
    """Distinguishes it from other findings of the same code and field, by name."""
    names: tuple[str, ...] = ()
    """The names that were found, if it is about several objects: one more name makes it new, one
    less does not. Names of workloads and namespaces, never of pods, which come and go."""
    fingerprint: str = ""
    """Identifies it wherever it is written and whatever its words are; "" until it is needed."""

    @property
    def weight(self) -> Severity:
        """How much it weighs."""
        return self.severity or LINT_RULES[self.code].severity

    @property
    def title(self) -> str:
        """The meaning of the code."""
        return LINT_RULES[self.code].title

    @property
    def slug(self) -> str:
        """The code in words."""
        return LINT_RULES[self.code].slug

    @property
    def problem(self) -> Problem:
        """The finding as a problem, like those of the server."""
        return Problem(
            self.code,
            self.weight,
            f"{self.path}: {self.text}",
            self.source,
            self.path,
            f"{self.object.kind} {self.object}",
        )
