"""``kedge completion``: the script that lets a shell complete commands, nodes and variables."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash: kedge completion bash > /etc/bash_completion.d/kedge
    zsh:  kedge completion zsh > "${fpath[1]}/_kedge"
    fish: kedge completion fish > ~/.config/fish/completions/kedge.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, "kedge", "_KEDGE_COMPLETE").source())
