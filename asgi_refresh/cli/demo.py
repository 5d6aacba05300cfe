"""
`demo`: a page on this machine where a session refreshes itself.
"""

from __future__ import annotations

import click

from asgi_refresh.demo.__main__ import main


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "max_content_width": 100},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> int:
    """Show a session refresh itself, on a page of this machine (extra `demo`)."""
    try:
        return main(arguments)
    except SystemExit as stopped:  # argparse, which has said why
        return stopped.code if isinstance(stopped.code, int) else 2
