"""What the folder of a digit training tells at one moment."""

from apps.dashboard import story
from apps.dashboard.digits.sources import SCALARS
from apps.dashboard.story import Story
from vision_core import runs
from vision_core.digits import Settings

SYSTEM = "digits"


def read_story(run: runs.Run) -> Story:
    """What the folder tells now; a fault of its files is told in `problem`, never raised."""
    return story.read(run, SYSTEM, Settings, SCALARS)
