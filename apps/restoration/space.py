"""Starts the app where it is run as a file, not as a module: in a Space made of this repository."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
runpy.run_module("apps.restoration.app", run_name="__main__")
