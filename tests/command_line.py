"""The command line, called in this process with `--json`."""

import json

from typer import Typer
from typer.testing import CliRunner

from vision_core.cli import app as whole


def ask(*words: object, app: Typer = whole) -> tuple[int, dict]:
    """The status of a command and its output."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    return result.exit_code, json.loads(result.stdout)


def run(*words: object, status: int = 0) -> dict:
    """The output of a command that ends with `status`."""
    actual, output = ask(*words)
    assert actual == status, output
    return output


def mistake(*words: object) -> str:
    """The message of a command that fails."""
    return run(*words, status=2)["error"]
