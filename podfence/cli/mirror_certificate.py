"""``podfence mirror certificate``: the certificate of mirrors, as a Secret for kubectl apply."""

from __future__ import annotations

import click

from podfence.render.jsontext import json_text


@click.command("certificate")
@click.option(
    "-n",
    "--namespace",
    default="kube-system",
    show_default=True,
    metavar="NAME",
    help="The namespace of the mirrors.",
)
@click.option(
    "--service",
    default="podfence-mirror",
    show_default=True,
    metavar="NAME",
    help="The Service through which agents reach the mirrors; the Secret is called NAME-tls.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=365,
    show_default=True,
    help="How long the certificate is valid.",
)
def command(namespace: str, service: str, days: int) -> int:
    """Print a Secret with a new key, its certificate and ca.crt, which is what agents trust.

    Mirrors and agents read it again when it changes. A Certificate of cert-manager does as well:
    its Secret has the same fields.
    """
    from podfence.mirror.certificate import secret
    from podfence.mirror.main import names_of

    hosts = names_of(service, namespace)
    click.echo(json_text(secret(f"{service}-tls", namespace, hosts, days)))
    return 0
