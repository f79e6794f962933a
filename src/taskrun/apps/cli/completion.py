"""Shell completion."""

from __future__ import annotations

import rich_click as click
from click import get_current_context
from click.shell_completion import get_completion_class

from taskrun.apps.cli import showing
from taskrun.apps.cli.connection import json_command

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@json_command
def completion(as_json: bool, shell: str) -> None:
    """Prints the script that makes a shell complete this command line.

    For example, in ~/.bashrc: eval "$(taskrun completion bash)"
    """
    complete = get_completion_class(shell)
    assert complete is not None
    script = complete(get_current_context().find_root().command, {}, "taskrun", "_TASKRUN_COMPLETE").source()
    if as_json:
        showing.as_json({"script": script})
    else:
        click.echo(script)
