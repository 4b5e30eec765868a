"""``podfence schema``: the schemas of ``-o json``, from inside the package."""

from __future__ import annotations

from importlib.resources import files

import click

from podfence.likeness import similar

SUFFIX = ".schema.json"


@click.command("schema")
@click.argument("name", required=False)
def command(name: str | None) -> int:
    """Print the JSON Schema of what a command prints with -o json.

    NAME is can, map, plan, test and so on. Without it: the names.
    """
    schemas = {
        each.name.removesuffix(SUFFIX): each
        for each in files("podfence.cli").joinpath("schemas").iterdir()
        if each.name.endswith(SUFFIX)
    }
    if name is None:
        for known in sorted(schemas):
            click.echo(known)
        return 0
    found = schemas.get(name)
    if found is None:
        hint = "".join(f"; did you mean {each}?" for each in similar(name, schemas))
        raise click.UsageError(f"there is no schema {name!r}{hint}")
    click.echo(found.read_text(encoding="utf-8"), nl=False)
    return 0
