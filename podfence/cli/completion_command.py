"""``podfence completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_PODFENCE_COMPLETE"
"""What click looks for in the environment when the program is called ``podfence``."""


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print a script for SHELL that completes commands, options, their values and file names.

    \b
    bash: source <(podfence completion bash)       in ~/.bashrc
    zsh:  source <(podfence completion zsh)        in ~/.zshrc
    fish: podfence completion fish | source        in ~/.config/fish/config.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    script = found(context.find_root().command, {}, "podfence", VARIABLE)
    click.echo(script.source())
    return 0
