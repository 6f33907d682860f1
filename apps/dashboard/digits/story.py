"""The current state of a digit training, read from its folder."""

from apps.dashboard import story
from apps.dashboard.digits.sources import SCALARS
from apps.dashboard.story import Story
from vision_core import runs
from vision_core.digits import Settings

SYSTEM = "digits"


def read_story(run: runs.Run) -> Story:
    """Read the state of a run; problems with its files are reported in `problem`, never raised."""
    return story.read(run, SYSTEM, Settings, SCALARS)
