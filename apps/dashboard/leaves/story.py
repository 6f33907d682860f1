"""What the folder of a leaf training tells at one moment."""

from apps.dashboard import jobs, story
from apps.dashboard.story import Story
from vision_core.leaves import Settings
from vision_core.runs import Run

SYSTEM = "leaves"
SCALARS = ("cross_entropy", "train_accuracy", "val_loss", "val_accuracy", "val_macro_f1", "lr")


def read_story(name: str) -> Story:
    """What the folder of the training `name` tells now."""
    return story.read(Run(jobs.root() / SYSTEM / name), SYSTEM, Settings, SCALARS)
