"""Commands of the digit system."""

import typer

app = typer.Typer(help="The digit explorer: train, export, publish.", no_args_is_help=True)
