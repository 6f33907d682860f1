"""Edits many pictures by text with models that are loaded once; a second run skips finished pictures."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vision_core import __version__, cluster, files
from vision_core.editing.choices import load_clip, load_saliency, painter, shipped
from vision_core.editing.editor import SCORES, edit, folder_of, load_anchor_net, write
from vision_core.pictures import images
from vision_core.weights import WeightsMissing


@dataclass(frozen=True)
class Editor:
    """A job for each picture of a folder; the models are loaded at the first call.

    Args:
        entries: (file, caption, prompt); the folders of results are numbered.
        follow: consumes the events of an edit and returns its result.
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
            (path, out / folder_of(caption or "run", number))
            for number, (path, caption, _) in enumerate(self.entries)
        ]

    def done(self, out: Path) -> set[tuple[Path, Path]]:
        """The pairs whose complete result, with the same settings, exists in `out`, a folder or URL.

        What killed runs left half-written in the folders of the results is removed.
        """
        _ = self.settings  # goes to the workers, whose files of weights have other times
        if cluster.is_url(out):
            existing = cluster.below(cluster.as_typed(out))
            return {pair for pair in self.pairs(out) if self._done_at_url(*pair, existing)}
        complete = set()
        for source, target in self.pairs(out):
            for folder in (target, target / "boxes", target / "results"):
                files.sweep(folder)
            existing = {path.relative_to(out).as_posix() for path in target.rglob("*") if path.is_file()}
            if self._is_done(source, target, target / SCORES, existing):
                complete.add((source, target))
        return complete

    def _done_at_url(self, source: Path, target: Path, existing: set[str]) -> bool:
        if f"{target.name}/{SCORES}" not in existing:
            return False
        scores = f"{cluster.as_typed(target)}/{SCORES}"
        with TemporaryDirectory(prefix="vision-core-") as scratch:
            cluster.download(scores, local := Path(scratch) / SCORES)
            done = self._is_done(source, target, local, existing)
        if not done:
            cluster.remove(scores)  # or it would stand for what an upload that is killed has half replaced
        return done

    def _is_done(self, source: Path, target: Path, scores: Path, existing: set[str]) -> bool:
        """Whether `scores`, which is written last, has this key, and all files it lists are in `existing`."""
        try:
            listed = files.read_json(scores)
            names = [
                "input_image.png",
                "final_output.png",
                *(entry["file"] for entry in listed["candidates"]),
            ]
            complete = all(f"{target.name}/{name}" in existing for name in names)
            return complete and listed["key"] == self._key(source, self._number(target))
        except (ValueError, OSError, LookupError, TypeError):  # none, of a single edit, or damaged
            return False

    def _key(self, source: Path, number: int) -> str:
        """A hash of everything that determines the result."""
        picture = hashlib.sha256(source.read_bytes()).hexdigest()
        whole = json.dumps([self.settings, picture, *self.entries[number][1:]])
        return hashlib.sha256(whole.encode()).hexdigest()[:16]

    @cached_property
    def settings(self) -> str:
        """The settings that all pictures share, as text; computed once, on the machine of the command."""
        chosen = (self.backend, self.model, self.steps, self.anchors, self.max_window, self.seed)
        parts = () if self.backend == "diffusers" else ("inpainting", "clip", "dino")
        weights = [_state(path) for path in (self.anchor_net, self.model, *map(_shipped, parts))]
        return json.dumps([__version__, *chosen, str(self.anchor_net), weights])

    @staticmethod
    def _number(target: Path) -> int:
        return int(target.name.partition("_")[0])

    def __call__(self, source: Path, target: Path) -> None:
        number = self._number(target)
        _, caption, prompt = self.entries[number]
        key = self._key(source, number)
        backend, eyes, judge, sizes = self.models
        events = edit(
            images.read(source),
            caption,
            prompt,
            backend,
            eyes,
            judge,
            sizes,
            anchors=self.anchors,
            max_window=self.max_window,
            seed=self.seed,
        )
        result = self.follow(events)
        for pattern in (f"results/{number}_*_rank*.png", f"boxes/{number}_rank*.png"):
            for older in [*target.glob(pattern)]:  # of another prompt or number of anchors
                older.unlink()
        write(result, target.parent, number, key)

    @cached_property
    def models(self) -> tuple[Any, Any, Any, Any]:
        """(painter, eyes, judge, AnchorNet or None)"""
        backend = painter(self.backend, self.model, generative=True, steps=self.steps, device=self.device)
        eyes = load_saliency(None, self.backend, self.device, backend)
        judge = load_clip(None, self.backend, self.device)
        return backend, eyes, judge, load_anchor_net(self.anchor_net) if self.anchor_net else None

    def __getstate__(self) -> dict[str, Any]:
        """The state without the models, which every worker loads itself."""
        return {name: value for name, value in vars(self).items() if name != "models"}


def _state(path: str | Path | None) -> list[tuple[str, int, int]]:
    """Name, size and time of each file of a local model; empty for others."""
    place = Path(path) if path else None
    if place is None or not place.exists():
        return []
    parts = [place] if place.is_file() else sorted(part for part in place.rglob("*") if part.is_file())
    return [(part.name, part.stat().st_size, part.stat().st_mtime_ns) for part in parts]


def _shipped(part: str) -> str | None:
    try:
        return str(shipped(part))
    except WeightsMissing:
        return None
