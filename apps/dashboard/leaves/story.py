"""The state of a leaf training, read from its folder."""

from typing import Any

from apps.dashboard import jobs, story
from apps.dashboard.story import Story
from vision_core.leaves import Settings
from vision_core.runs import Run

SYSTEM = "leaves"
SCALARS = ("cross_entropy", "train_accuracy", "val_loss", "val_accuracy", "val_macro_f1", "lr")


def read_story(name: str) -> Story:
    """Read the current state of the training `name`."""
    return story.read(Run(jobs.root() / SYSTEM / name), SYSTEM, Settings, SCALARS)


def best(epochs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The epoch with the smallest validation loss, whose weights are kept."""
    return min(epochs, key=lambda epoch: epoch["val_loss"], default=None)


def ending(story: Story) -> str:
    """Why a finished training ended where it did."""
    kept, asked = best(story.epochs), story.settings
    if story.status != "done" or kept is None or story.epochs[-1]["epoch"] >= asked["epochs"]:
        return ""
    return (
        f"It ended after epoch {story.epochs[-1]['epoch']} of {asked['epochs']}: the validation loss had not "
        f"fallen for {asked['patience']} epochs. The weights of epoch {kept['epoch']} are kept."
    )
