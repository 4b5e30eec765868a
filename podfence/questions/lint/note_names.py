"""Notes about names and remarks that promise something else than the rules do.

Rule: only words are compared, so a promise must be plain: a name that says "deny" and then
"except", "allow" or "only" is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from podfence.model.networkpolicy import NetworkPolicyPeer, NetworkPolicyRule
from podfence.model.selectors import LabelSelector, Operator
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.questions.lint.note import LintedPolicy, Note, field_of, rule_path
from podfence.questions.phrases import words

_DENY = frozenset(
    "deny denies denied block blocks blocked forbid forbids reject rejects drop drops prevent "
    "prevents disallow disallows".split()
)
_ISOLATE = frozenset("isolate isolates isolated isolation seal seals".split())
_ALLOW = frozenset(
    "allow allows allowed permit permits except but only unless other others accept accepts "
    "without".split()
)
_CLOSE = _DENY | _ISOLATE
_MAY_CLOSE = re.compile("den[iy]|block|forbid|reject|drop|prevent|disallow|isolat|seal")
"""What the words of ``_CLOSE`` have in common."""
_EVERYTHING = frozenset("all everything any every default".split())
_DIRECTIONS = {
    Direction.INGRESS: frozenset("ingress incoming inbound".split()),
    Direction.EGRESS: frozenset("egress outgoing outbound".split()),
}
_TOKEN = re.compile(r"[a-z0-9]+")
_IGNORED_ANNOTATIONS = "kubectl.kubernetes.io/"


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


class _Promise(Struct, frozen=True):
    """What a text says it denies. ``denied``: the words after a deny word, up to an allow word.
    ``hard``: it denies rather than isolates; ``restricted``: it also says what is allowed."""

    denied: frozenset[str]
    hard: bool
    restricted: bool

    @classmethod
    def of(cls, text: str) -> _Promise:
        if not _MAY_CLOSE.search(text.lower()):
            return _NO_PROMISE  # nearly every name
        tokens = _tokens(text)
        if _CLOSE.isdisjoint(tokens):
            return _NO_PROMISE
        denied: set[str] = set()
        denying = hard = restricted = False
        previous = ""
        for token in tokens:
            if token in _CLOSE:
                denying = True
                hard = hard or token in _DENY
                denied.update({previous} & _EVERYTHING)
            elif token in _ALLOW:
                denying, restricted = False, True
            elif denying:
                denied.add(token)
            previous = token
        return cls(frozenset(denied), hard, restricted)

    def concerns(self, direction: Direction) -> bool:
        """Whether the direction is meant; a text that names none means both."""
        named = {d for d, names in _DIRECTIONS.items() if names & self.denied}
        return not named or direction in named

    def broken_by(self, rule: NetworkPolicyRule) -> bool:
        """Whether a rule allows what is denied: a peer whose label is named, or anything when
        everything is denied."""
        if any(value <= self.denied for peer in rule.peers for value in _values(peer)):
            return True
        return self.hard and not self.restricted and bool(self.denied & _EVERYTHING)


_NO_PROMISE = _Promise(frozenset(), hard=False, restricted=False)


def _values(peer: NetworkPolicyPeer) -> Iterator[frozenset[str]]:
    """The words of every label value that a peer asks for."""
    for selector in (peer.pod_selector, peer.namespace_selector):
        yield from _selector_values(selector or LabelSelector())


def _selector_values(selector: LabelSelector) -> Iterator[frozenset[str]]:
    values = [value for _, value in selector.match_labels]
    for requirement in selector.match_expressions:
        if requirement.operator is Operator.IN:
            values.extend(requirement.values)
    yield from (frozenset(_tokens(value)) for value in values if _tokens(value))


def says_deny(case: LintedPolicy) -> Iterator[Note]:
    """PF301: no rule of a NetworkPolicy can deny (NP-7)."""
    for what, path, text in _texts(case):
        promise = _Promise.of(text)
        if not promise.denied:
            continue
        broken = [
            (direction, number, rule)
            for direction, number, rule in case.rules
            if promise.concerns(direction) and promise.broken_by(rule)
        ]
        if not broken:
            continue
        allowed = "; ".join(_allowed(case, direction, rule) for direction, _, rule in broken)
        yield Note(
            "PF301",
            f"{what} says deny, but a rule can only allow. Allowed here: {allowed}. A policy "
            "denies only what none of its rules allows.",
            path or rule_path(*broken[0][:2]),
        )
        return


def _texts(case: LintedPolicy) -> Iterator[tuple[str, str, str]]:
    """(what it is, its path, the text) of the name and of the annotations."""
    yield "The name", "metadata.name", case.policy.ref.name
    annotations = field_of(case.raw, "metadata", "annotations")
    for key, value in annotations.items() if isinstance(annotations, dict) else ():
        if isinstance(value, str) and not str(key).startswith(_IGNORED_ANNOTATIONS):
            yield f"The annotation {key}", "metadata.annotations", value


def _allowed(case: LintedPolicy, direction: Direction, rule: NetworkPolicyRule) -> str:
    peers = [words.peer(peer, case.namespace) for peer in rule.peers] or [words.EVERYONE]
    ports = words.ports(words.port(port) for port in rule.ports)
    word = "from" if direction is Direction.INGRESS else "to"
    return f"{direction.value} {word} {', or '.join(peers)}, {ports}"


def reversed_direction(case: LintedPolicy) -> Iterator[Note]:
    """PF317: ``a-to-b`` that selects a for ingress, or b for egress."""
    name = case.policy.ref.name.lower()
    if "to" not in name or "to" not in (tokens := _tokens(name)):
        return
    at = tokens.index("to")
    left, right = frozenset(tokens[:at]), frozenset(tokens[at + 1 :])
    own = _words(_selector_values(case.policy.pod_selector))
    for direction in AS_WRITTEN:
        here, there = (right, left) if direction is Direction.INGRESS else (left, right)
        peers = _words(
            value
            for counted, _, rule in case.rules
            if counted is direction
            for peer in rule.peers
            for value in _values(peer)
        )
        if own & there and not own & here and peers & here and not peers & there:
            yield _reversed(case, direction)


def _words(values: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*values)


def _reversed(case: LintedPolicy, direction: Direction) -> Note:
    selected = words.pods(case.policy.pod_selector)
    peers = [
        words.peer(peer, case.namespace)
        for rule in case.policy.rules_of(direction.policy_type)
        for peer in rule.peers
    ]
    who = ", or ".join(peers)
    if direction is Direction.INGRESS:
        what = f"{who} may connect to {selected}"
    else:
        what = f"{selected} may connect to {who}"
    text = (
        f"What is allowed: {what}. Replies pass by themselves, but no rule here lets the other "
        "side open a connection. An ingress policy selects the pods that are connected to; an "
        "egress policy selects the pods that connect."
    )
    return Note("PF317", text, "spec.podSelector")
