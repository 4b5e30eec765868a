"""``podfence can``: yes or no, for one question or for thousands."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from podfence.cli.allcontexts import each_context
from podfence.cli.common import (
    asking,
    keep_going_option,
    lacks_files,
    load_cluster,
    output_option,
    read_names,
    require_certain,
    resolve_option,
    strict_option,
)
from podfence.cli.inputs import Inputs, input_options, namespace_option
from podfence.cli.targets import namespaces_of, policies_of, port_of, protocol_of, question
from podfence.cli.terminal import echo
from podfence.errors import UNREADABLE, PodfenceError, QuestionError
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.questions.can import Can, QueryEvaluator, asker_of
from podfence.questions.entrynames import entry_meant, is_entry
from podfence.render.jsontext import json_bytes, json_text
from podfence.render.problems import message_text
from podfence.render.verdicts import VerdictEncoder, can_text


@click.command("can")
@click.argument("source", metavar="SRC", required=False)
@click.argument("target", metavar="DST:PORT[/PROTO]", required=False)
@each_context
@input_options
@namespace_option
@output_option
@click.option(
    "--queries",
    metavar="FILE|-",
    help='Answer a JSON list of {"src", "dst", "protocol", "port"}; needs -o json.',
)
@resolve_option
@keep_going_option
@strict_option
def command(
    source: str | None,
    target: str | None,
    inputs: Inputs,
    namespace: str | None,
    output: str,
    queries: str | None,
    resolve: str | None,
    keep_going: bool,
    strict: bool,
) -> int:
    """Can SRC reach DST on PORT? Exit status 0 for yes, 1 for no.

    SRC and DST are namespace/pod, namespace/workload, namespace/kind/workload, kind/name as kubectl
    takes it (deploy/web, po/web-1), node/name or a literal address (IPv6 before a port in brackets:
    [2001:db8::1]:443). PORT is a number or the name of a container port of DST; PROTO is tcp
    (default), udp, sctp, or icmp, which has no port: shop/db:/icmp.

    SRC may be a way in from outside, as `find exposed` lists them: entry/ingress/shop/front. DST
    then narrows the answer to these pods behind it. Exit status 2: whether somebody can come in is
    unknown.
    """
    if queries is not None:
        if source is not None:
            raise click.UsageError("--queries replaces SRC and DST:PORT; drop one of the two")
        if output != "json":
            raise click.UsageError("the answers to --queries are JSON; use -o json")
        if strict:
            raise click.UsageError("--strict is about one question; drop it or --queries")
        return _many(queries, inputs, read_names(resolve, *inputs.paths, queries), keep_going)
    if source is not None and is_entry(source):
        from podfence.cli.entries import answer_entry

        space = inputs.namespace_of_names(namespace)
        table = read_names(resolve, *inputs.paths)
        return answer_entry(source, target, inputs, space, table, output, strict=strict)
    if source is not None and target is None and (entry := entry_meant(source)):
        raise click.UsageError(f"DST:PORT is missing; did you mean {entry}?")
    if source is None or target is None:
        raise click.UsageError(
            "SRC and DST:PORT are missing; for example: podfence can shop/web shop/db:80"
        )
    asked = question(source, target, inputs.namespace_of_names(namespace))
    names = read_names(resolve, *inputs.paths)
    return _one(asked, inputs, names, output, strict=strict)


def _one(asked: Can, inputs: Inputs, names: DomainTable, output: str, *, strict: bool) -> int:
    loaded = load_cluster(inputs, namespaces_of(asked), policies_of(asked))
    with asking(loaded, inputs):
        asker = asker_of(loaded.cluster, names, asked)
        answer = asker.can(asked)
    require_certain(loaded, answer)
    if loaded.beside.has_policies:
        from podfence.cli.beside import say_unjudged

        pods = (pod for case in answer.cases for pod in case.pods)
        say_unjudged(loaded, asker.index, pods, strict=strict)
    if output == "json":
        click.echo(json_text(VerdictEncoder(loaded.locate).answer(answer)))
    else:
        echo(can_text(answer, loaded.locate), nl=False)
    return 0 if answer.allowed else 1


class Query(msgspec.Struct):
    """One item of ``--queries``."""

    src: str
    dst: str
    port: int | str | None = None
    protocol: str = "TCP"


def _many(queries: str, inputs: Inputs, names: DomainTable, keep_going: bool) -> int:
    if queries == "-" and "-" in inputs.paths:
        raise click.UsageError("standard input cannot be both the manifests and the queries")
    asked = read_queries(queries)
    about = {name.partition("/")[0] for each in asked for name in (each.src, each.dst)}
    loaded = load_cluster(inputs, sorted(about))
    asker = QueryEvaluator(compile_cluster(loaded.cluster, names))
    encoder = VerdictEncoder(loaded.locate)
    failed = 0
    answers: list[dict[str, Any]] = []
    for number, query in enumerate(asked):
        try:
            with asking(loaded, inputs):
                answer = asker.can(_question(query))
            require_certain(loaded, answer)
            answers.append(encoder.answer(answer))
        except PodfenceError as error:
            failed += not (keep_going and error.code == "PF007")
            answers.append({"allowed": None, "error": error.message, "code": error.code})
            echo(f"[{number}]: error[{error.code}]: {message_text(error.message)}", err=True)
    sys.stdout.buffer.write(json_bytes(answers) + b"\n")
    return 2 if failed or lacks_files(loaded) else 0


def read_queries(path: str) -> list[Query]:
    """Raises QuestionError with what is wrong and where."""
    try:
        data = sys.stdin.buffer.read() if path == "-" else _bytes_of(path)
    except OSError as error:
        raise QuestionError(f"cannot read the queries: {error.strerror}: {path}") from error
    try:
        return msgspec.json.decode(data, type=list[Query])
    except UNREADABLE as error:
        raise QuestionError(
            f"the queries are not a JSON list of objects with src, dst, protocol, port: {error}"
        ) from error


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _question(query: Query) -> Can:
    protocol = protocol_of(query.protocol)
    return Can(query.src, query.dst, port_of(query.port, protocol), protocol)
