"""The command line: `vision-core color|edit|digits|leaves|restore|serve|space|models|doctor`."""

import os
import sys

import typer
from typer.exceptions import TyperException

from vision_core.cli import color, digits, edit, leaves, restore, suite, verbs

app = typer.Typer(
    help="Five small vision systems that you can watch learn and then use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(color.app, name="color")
app.add_typer(edit.app, name="edit")
app.add_typer(digits.app, name="digits")
app.add_typer(leaves.app, name="leaves")
app.add_typer(restore.app, name="restore")
suite.register(app)


def main() -> None:
    """Entry point of the command line; usage errors are reported like all others."""
    # Waiting OpenMP threads spin for some 100 us, then sleep: as fast as the default on an idle machine, and
    # much faster on a busy one. Read when torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")
    try:
        sys.exit(app(prog_name="vision-core", standalone_mode=False))
    except TyperException as error:
        sys.exit(verbs.report_usage_error(error, as_json="--json" in sys.argv))
    except typer.Abort:  # interrupted outside a command
        sys.exit(verbs.EXIT_INTERRUPTED)
