"""A finding: something that does not do what its name or its shape suggests.

Rule: a finding is given only for what is certain from the input, and says what really happens; the
server accepts the object. Every code has one meaning, stands in LINT_RULES and does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from msgspec import Struct

from podfence.errors import Problem, Severity, Source
from podfence.model.meta import ObjectRef


class LintRule(Struct, frozen=True):
    """What a code means, in one line. ``severity`` says how sure it is that nobody wanted this:
    an error cannot do what is written, a warning does something that was hardly meant, a note is
    worth knowing."""

    severity: Severity
    title: str


LINT_RULES: Mapping[str, LintRule] = {
    "PF221": LintRule(
        Severity.WARNING,
        "a rule that never matches, because earlier rules of its tier match all of it",
    ),
    "PF222": LintRule(
        Severity.WARNING,
        "two policies of one tier and priority that judge the same connections differently",
    ),
    "PF223": LintRule(Severity.WARNING, "the subject of a policy is no pod"),
    "PF224": LintRule(
        Severity.WARNING, "networks that hold addresses of Services, which no rule ever sees"
    ),
    "PF225": LintRule(
        Severity.WARNING,
        "a rule that denies every address of one IP family cuts pods too, or leaves the other",
    ),
    "PF301": LintRule(Severity.WARNING, "the name or a remark says deny, the rules allow"),
    "PF302": LintRule(
        Severity.WARNING, "an empty egress list without policyTypes does not close egress"
    ),
    "PF303": LintRule(Severity.WARNING, "egress rules without policyTypes close ingress"),
    "PF304": LintRule(
        Severity.ERROR, "rules of a direction that policyTypes does not name count for nothing"
    ),
    "PF305": LintRule(
        Severity.WARNING, "a null list item allows everything that its place can allow"
    ),
    "PF306": LintRule(Severity.WARNING, "the policy selects no pod"),
    "PF307": LintRule(Severity.NOTE, "a peer means no pod and no address"),
    "PF308": LintRule(Severity.ERROR, "a named port that no destination declares allows nothing"),
    "PF309": LintRule(
        Severity.WARNING, "the number is a Service's port, policies see the container's"
    ),
    "PF310": LintRule(Severity.NOTE, "a rule {} allows everyone, outside the cluster included"),
    "PF311": LintRule(Severity.WARNING, "an ipBlock that covers addresses of pods or Services"),
    "PF312": LintRule(Severity.WARNING, "port 53 over TCP alone is not enough for DNS"),
    "PF313": LintRule(Severity.NOTE, "a catch-all of one IP family leaves the other closed"),
    "PF314": LintRule(
        Severity.WARNING,
        "two selectors in one item must both hold; as two items they would match pods",
    ),
    "PF315": LintRule(
        Severity.WARNING, "two items are alternatives; as one item they would match fewer pods"
    ),
    "PF316": LintRule(Severity.WARNING, "another policy allows everything that this one restricts"),
    "PF317": LintRule(Severity.WARNING, "the name says A to B, the rules allow B to A"),
    "PF318": LintRule(
        Severity.WARNING,
        "the port is declared by the end that connects, not by the end connected to",
    ),
    "PF319": LintRule(
        Severity.WARNING, "a neighbour in the same policy allows what this one restricts"
    ),
    "PF320": LintRule(Severity.ERROR, "a label that nobody has; one that is spelt alike exists"),
    "PF321": LintRule(Severity.ERROR, "a label of no namespace, with the name of one as its value"),
    "PF322": LintRule(
        Severity.ERROR, "a label that the workload has itself, and its pods have not"
    ),
    "PF323": LintRule(
        Severity.WARNING, "a selector asks for a label that changes with the next release"
    ),
    "PF324": LintRule(Severity.WARNING, "a peer that only excludes also matches pods of strangers"),
    "PF325": LintRule(
        Severity.ERROR, "a selector that fits no pod of its namespace, and pods of another"
    ),
    "PF326": LintRule(
        Severity.WARNING, "a port name that some of the pods declare, and others serve without it"
    ),
    "PF327": LintRule(Severity.ERROR, "the port is declared for another protocol"),
    "PF328": LintRule(Severity.WARNING, "a range of ports that holds nearly all of them"),
    "PF329": LintRule(
        Severity.ERROR, "the number is a Service's port, and no connection through it passes"
    ),
    "PF330": LintRule(
        Severity.WARNING, "all that a rule allows is denied by the policies of the other end"
    ),
    "PF331": LintRule(Severity.NOTE, "a rule that allows only what other rules allow anyway"),
    "PF332": LintRule(Severity.NOTE, "a policy that changes no verdict"),
    "PF333": LintRule(Severity.ERROR, "pods that may not ask the cluster's DNS"),
    "PF334": LintRule(Severity.ERROR, "DNS is asked at the node, where no rule allows it"),
    "PF335": LintRule(
        Severity.WARNING, "DNS to everywhere is the only way out, and one for tunnels"
    ),
    "PF336": LintRule(Severity.NOTE, "a Service that nobody may reach"),
    "PF337": LintRule(
        Severity.ERROR, "an Ingress or a route leads to pods that may not be reached through it"
    ),
    "PF338": LintRule(Severity.ERROR, "the API server may not call a webhook, or an API"),
    "PF339": LintRule(Severity.WARNING, "pods that use the API may not connect to its server"),
    "PF340": LintRule(
        Severity.ERROR, "an ipBlock of Service addresses alone, which no rule ever sees"
    ),
    "PF341": LintRule(
        Severity.WARNING, "a rule for the internet also holds pods of other namespaces"
    ),
    "PF350": LintRule(Severity.NOTE, "pods that no policy isolates"),
    "PF351": LintRule(Severity.WARNING, "a namespace with policies whose next pod would be open"),
    "PF352": LintRule(
        Severity.WARNING, "outside addresses reach pods that nothing offers to the outside"
    ),
    "PF353": LintRule(Severity.WARNING, "a rule allows the metadata service of a cloud"),
    "PF354": LintRule(Severity.NOTE, "a rule for all ports of all outside addresses"),
    "PF355": LintRule(Severity.ERROR, "tenants that are not to meet may connect"),
    "PF356": LintRule(Severity.WARNING, "the port of a data store is open to more than named pods"),
    "PF360": LintRule(Severity.ERROR, "only pods on the network of their node are meant"),
    "PF361": LintRule(Severity.WARNING, "an unknown mode: the policy is enforced"),
    "PF362": LintRule(Severity.NOTE, "the policy is audited, and enforces nothing"),
    "PF363": LintRule(
        Severity.WARNING,
        "a rule with peers alone beside a rule with ports alone: one rule, split by a dash",
    ),
    "PF364": LintRule(Severity.WARNING, "the network plugin does not do what the policy says"),
    "PF365": LintRule(
        Severity.WARNING, "two sources write one policy, and mean different things by it"
    ),
}
LINT_CODES: Mapping[str, str] = {code: rule.title for code, rule in LINT_RULES.items()}
"""Every code with its meaning in one line."""


class Finding(Struct, frozen=True):
    """One finding. ``path`` is the field of ``object`` that it is about; ``text`` is complete
    without it."""

    code: str
    object: ObjectRef
    source: Source | None
    path: str
    text: str
    severity: Severity | None = None
    """Where it weighs otherwise than its code does."""

    @property
    def weight(self) -> Severity:
        """How much it weighs."""
        return self.severity or LINT_RULES[self.code].severity

    @property
    def fingerprint(self) -> str:
        """Tells the finding from every other, wherever it is written."""
        parts = (self.code, self.object.kind, str(self.object), self.path, self.text)
        return sha256("\0".join(parts).encode()).hexdigest()[:32]

    @property
    def title(self) -> str:
        """The meaning of the code."""
        return LINT_RULES[self.code].title

    @property
    def problem(self) -> Problem:
        """The same beside what the server says."""
        return Problem(
            self.code,
            self.weight,
            f"{self.path}: {self.text}",
            self.source,
            self.path,
            f"{self.object.kind} {self.object}",
        )
