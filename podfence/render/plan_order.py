"""The order in which a change can be applied, for people and as data."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from podfence.model.meta import ObjectRef
from podfence.questions.phrases.words import count
from podfence.questions.plan.order import ApplyStep, ApplyVerb, Order
from podfence.render.jsontext import json_text
from podfence.render.policies import policy_manifest
from podfence.render.yamltext import yaml_lines
from podfence.text import printable


def render_order(order: Order | None) -> str:
    """The steps, and the manifests of temporary policies."""
    return "".join(f"{line}\n" for line in _lines(order))


def _lines(order: Order | None) -> Iterator[str]:
    yield ""
    if order is None:
        yield "order: not worked out: too much to try, or part of the input could not be read"
        return
    if not order.steps:
        yield "order: there is nothing to apply"
        return
    if order.is_safe:
        yield "order: no state in between cuts or opens more"
    else:
        yield "order: none was found that is safe at every step; this one does the least harm"
    for number, step in enumerate(order.steps, start=1):
        yield f"  {number}. {step_words(step)}"
    for helper in order.temporary:
        yield "---"
        yield from (line.rstrip("\n") for line in yaml_lines(policy_manifest(helper)))


def step_words(step: ApplyStep) -> str:
    """``create NetworkPolicy shop/db: cuts 3 pairs until later steps``, safe to print."""
    kept = " (temporary)" if step.temporary else ""
    harm = [
        f"{verb} {count(number, 'pair')}"
        for number, verb in ((step.cuts, "cuts"), (step.opens, "opens"))
        if number
    ]
    said = f": {' and '.join(harm)} until later steps" if harm else ""
    return f"{step.verb.value} {printable(f'{step.ref.kind} {step.ref}')}{kept}{said}"


Manifest = Mapping[str, Any]


def order_data(order: Order, manifest: Callable[[ObjectRef], Manifest | None]) -> dict[str, Any]:
    """The same for ``-o json``. ``manifest``: of an object as the change has it; None where it was
    not written as one."""
    temporary = {helper.ref: policy_manifest(helper) for helper in order.temporary}
    return {
        "safe": order.is_safe,
        "steps": [
            {
                "verb": step.verb.value,
                "kind": step.ref.kind,
                "namespace": step.ref.namespace,
                "name": step.ref.name,
                "temporary": step.temporary,
                "cuts": step.cuts,
                "opens": step.opens,
                **_command(step, temporary.get(step.ref) or manifest(step.ref)),
            }
            for step in order.steps
        ],
        "temporary": list(temporary.values()),
    }


def _command(step: ApplyStep, manifest: Manifest | None) -> dict[str, str]:
    """A step as words for a shell. Names are quoted; JSON has no line of its own that could end the
    manifest early."""
    scope = ["-n", step.ref.namespace] if step.ref.namespace else []
    if step.verb is ApplyVerb.DELETE:
        return {
            "command": shlex.join(
                ["kubectl", "delete", *scope, step.ref.kind.lower(), step.ref.name]
            )
        }
    if manifest is None:
        return {}
    words = shlex.join(["kubectl", "apply", *scope, "-f", "-"])
    return {"command": f"{words} <<'EOF'\n{json_text(manifest)}\nEOF"}
