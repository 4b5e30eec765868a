"""``can`` and ``why`` about an entry: who sends through it, and whether policies let that in."""

from __future__ import annotations

import re

import click

from podfence.cli.beside import say_unjudged
from podfence.cli.common import asking, load_cluster
from podfence.cli.inputs import Inputs
from podfence.cli.settings import read_settings
from podfence.cli.targets import port_of, protocol_of, qualified
from podfence.cli.terminal import echo
from podfence.errors import QuestionError
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.entrynames import called
from podfence.questions.entrywhy import EntryAnswer, EntryAsker
from podfence.render.entry_why import entry_answer_data, entry_can_text, entry_why_text
from podfence.render.jsontext import json_text

_STATUS = {True: 0, False: 1, None: 2}
"""Exit status by the answer; 2: unknown, which is never taken for an answer."""
_TARGET = re.compile(r"(?P<end>[^:]+)(?::(?P<port>[^:/]+)(?:/(?P<proto>[^/:]+))?)?\Z")


def answer_entry(
    word: str,
    target: str | None,
    inputs: Inputs,
    namespace: str,
    names: DomainTable,
    output: str,
    *,
    explains: bool = False,
    strict: bool = False,
) -> int:
    """Answer about an entry, and the exit status. ``target``: only about these pods behind it;
    ``namespace``: that of names without one."""
    wanted = None if target is None else _target(target, namespace)
    loaded = load_cluster(inputs)
    with asking(loaded, inputs):
        entries = loaded.beside.entries(loaded.cluster, loaded.raw)
        found = called(entries.entries, word, namespace)
        asker = QueryEvaluator(compile_cluster(loaded.cluster, names))
        known = read_settings(None, none=False).cluster.controllers
        entry_asker = EntryAsker(asker, entries, known)
        answer = entry_asker.answer(word, found, wanted)
    if loaded.beside.has_policies:
        say_unjudged(loaded, asker.index, _pods(answer), strict=strict)
    explain = entry_asker.explanation if explains else None
    if output == "json":
        click.echo(json_text(entry_answer_data(answer, loaded.locate, explain)))
    elif explain is not None:
        echo(entry_why_text(answer, explain, loaded.locate), nl=False)
    else:
        echo(entry_can_text(answer, loaded.locate), nl=False)
    return _STATUS[answer.allowed]


def _pods(answer: EntryAnswer) -> list[str]:
    return [pod for way in answer.ways for pod in way.pods]


def _target(text: str, namespace: str) -> Can:
    """Pods behind an entry, and one of their ports; port 0 is any."""
    found = _TARGET.match(text)
    if found is None:
        raise QuestionError(f"{text!r} is no pod or workload; write for example shop/web:8080")
    protocol = protocol_of(found["proto"] or "TCP")
    port = port_of(found["port"], protocol) if found["port"] else 0
    return Can("", qualified(found["end"], namespace), port, protocol, namespace)
