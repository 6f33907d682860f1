"""The command line: `vision-core color|digits|serve|models|doctor`."""

import typer

from vision_core.cli import color, digits, house

app = typer.Typer(
    help="Five small vision systems that you can watch learn and then use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(color.app, name="color")
app.add_typer(digits.app, name="digits")
house.register(app)


def main() -> None:
    app(prog_name="vision-core")
