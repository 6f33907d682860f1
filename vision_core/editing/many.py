"""Edits many pictures by text with models that are loaded once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vision_core import images
from vision_core.editing.choices import load_clip, load_saliency, painter
from vision_core.editing.editor import edit, folder_of, load_anchor_net, write


@dataclass(frozen=True)
class Editor:
    """What is called with a picture and the folder for its result; the models are loaded at the first call.

    Args:
        entries: (file, caption, prompt); the results are in folders called after their numbers.
        follow: goes through the events of an edit and returns its result.
        backend, model, steps, device: of the painter, see `choices.painter`.
    """

    entries: Sequence[tuple[Path, str, str]]
    follow: Callable[[Any], Any]
    backend: str
    model: str | None
    steps: int
    device: str
    anchor_net: Path | None
    anchors: int
    max_window: int
    seed: int

    def pairs(self, out: Path) -> list[tuple[Path, Path]]:
        """Each picture and the folder of its result."""
        return [
            (path, out / folder_of(caption, number)) for number, (path, caption, _) in enumerate(self.entries)
        ]

    def __call__(self, source: Path, target: Path) -> None:
        number = int(target.name.partition("_")[0])
        _, caption, prompt = self.entries[number]
        own, eyes, judge, sizes = self.models
        events = edit(
            images.read(source), caption, prompt, own, eyes, judge, sizes,
            anchors=self.anchors, max_window=self.max_window, seed=self.seed,
        )  # fmt: skip
        write(self.follow(events), target.parent, number)

    @cached_property
    def models(self) -> tuple[Any, Any, Any, Any]:
        """(painter, eyes, judge, AnchorNet or None)"""
        own = painter(self.backend, self.model, generative=True, steps=self.steps, device=self.device)
        eyes = load_saliency(None, self.backend, self.device, own)
        judge = load_clip(None, self.backend, self.device)
        return own, eyes, judge, load_anchor_net(self.anchor_net) if self.anchor_net else None

    def __getstate__(self) -> dict[str, Any]:
        """Without the models: they are loaded where they are used."""
        return {name: value for name, value in vars(self).items() if name != "models"}
