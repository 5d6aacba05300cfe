"""
The commands together, and what becomes of their errors.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from asgi_refresh import __version__
from asgi_refresh.errors import ConfigurationError

from . import checking, demo, doctor, inspecting, keygen, sessions, tidying
from .output import complain, listed


@click.group(
    epilog=listed(
        "Exit codes:",
        "0  done, and nothing is wrong",
        "1  it failed, or something was found",
        "2  the command line or a setting is wrong",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__)
def cli() -> None:
    """
    Look after the sessions, the keys and the settings of an application with asgi_refresh.

    Begin with `demo` to see what it does, `check` for the settings of this environment, and
    `doctor URL` for an application that runs. Every command has a --help with examples, and most
    print JSON with --json.
    """


for _command in (
    demo.demo,
    keygen.keygen,
    checking.check,
    inspecting.inspect,
    sessions.sessions,
    sessions.revoke,
    tidying.purge,
    tidying.create_tables,
    doctor.doctor,
):
    cli.add_command(_command)


def run(arguments: Sequence[str] | None) -> int:
    """Run a command and return its exit code; see `cli.main`."""
    try:
        code = cli.main(
            None if arguments is None else list(arguments),
            prog_name="asgi-refresh",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("stopped; nothing was done", err=True)
        return 1
    except ConfigurationError as error:
        complain(str(error))
        return 2
    return code if isinstance(code, int) else 0
