"""Commands of the colour system."""

import typer

app = typer.Typer(
    help="Colour transfer: palettes, trained colour maps, LUTs, low poly.", no_args_is_help=True
)
