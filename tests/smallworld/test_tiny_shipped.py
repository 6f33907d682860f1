"""Tests of the bundled networks of the small world."""

from random import Random

import numpy as np

from vision_core import checkpoints, editing
from vision_core.files import bundled
from vision_core.smallworld import evaluate, judge


def test_the_painter_paints_what_is_asked_for():
    model, _ = checkpoints.load(bundled("models") / "editing" / "judge.safetensors", judge.Network)
    tasks = [evaluate.task(Random(k), withheld=k % 2 == 1) for k in range(12)]  # of `edit tiny evaluate`
    result = evaluate.editing(editing.shipped("inpainting"), model.eval(), tasks, seed=0)
    # of the pictures before the edit none; models/editing/README.md has the share
    assert np.mean(list(result.values())) >= 0.75
    assert evaluate.drawn(model, tasks)["unedited"] == 0
