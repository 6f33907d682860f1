"""One restored page of a visit: a folder with the page and the output of the network."""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from apps.restoration import visit
from apps.shared import results, visits
from apps.shared.inputs import number
from apps.shared.results import Result
from apps.shared.visits import Session
from vision_core import restoration
from vision_core.files import read_json, write_json
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration.light import Answer
from vision_core.restoration.restore import Change, Options, difference, finish
from vision_core.safety import guarded, limits

PAGE, CHANGED, INK = "page.png", "changed.png", "ink.png"
MASK, GUESSES = "mask.png", "guesses.png"
KEPT_VIEWS = 3  # stored versions of a page; others are made again on request
CHANGE_MOST, GUESS_MOST = 96, 24  # of 255: values at which the overlays reach full colour


@dataclass(frozen=True)
class Sheet(Result):
    """A page; `facts`: title, source (the kept file), method, seconds, width, height, light and verso."""

    KIND: ClassVar[str] = "sheet"
    NOTHING: ClassVar[str] = "There is no restored page yet: choose a page and press Restore"


@dataclass(frozen=True)
class Choice:
    """The options that the page's controls set for an existing result; see `Options`."""

    strength: float = 1.0
    output: str = "color"
    sharpen: bool = False
    gate: bool = True
    light: float = 0.5
    caution: float = 0.5
    crop: bool = False

    @property
    def options(self) -> Options:
        strength = number(self.strength, 0, 1, "The strength")
        light, caution = (
            number(value, 0, 1, name)
            for value, name in ((self.light, "The light"), (self.caution, "The caution"))
        )
        choices = (strength, str(self.output), bool(self.gate), bool(self.sharpen))
        return Options(*choices, light=light, caution=caution, crop=bool(self.crop))  # pyright: ignore[reportArgumentType]

    def query(self, sheet: Sheet) -> dict[str, Any]:
        """As part of a download's address; the time of the mask makes browsers reload after a change."""
        mask = sheet.path(MASK)
        return {
            "strength": f"{self.options.strength:g}",
            "output": self.output,
            "sharpen": int(bool(self.sharpen)),
            "gate": int(bool(self.gate)),
            "light": f"{self.options.light:g}",
            "caution": f"{self.options.caution:g}",
            "crop": int(bool(self.crop)),
            "mask": mask.stat().st_mtime_ns if mask.exists() else 0,
        }


def choice(query: dict[str, str] | Any) -> Choice:
    """Parse and check the query of an address: the inverse of `Choice.query`."""
    strength = number(query.get("strength", "1"), 0, 1, "The strength")
    light, caution = (number(query.get(name, "0.5"), 0, 1, f"The {name}") for name in ("light", "caution"))
    sharpen, gate, crop = (
        query.get(name, default) != "0" for name, default in (("sharpen", "0"), ("gate", "1"), ("crop", "0"))
    )
    return Choice(strength, query.get("output", "color"), sharpen, gate, light, caution, crop)


def create(session: Session, page: Picture, changed: Change, facts: dict[str, Any]) -> Sheet:
    """Store a page and its restoration; removes the oldest results if there is no room."""
    sheet = results.create(Sheet, visit.current(session), 3 * page.rgb.nbytes)
    images.save(page, sheet.path(PAGE))
    images.save(Picture(changed.detail), sheet.path(CHANGED))
    if changed.ink is not None:
        images.save(Picture(np.repeat(changed.ink[..., None], 3, 2), kind="grey"), sheet.path(INK))
    light = None if changed.light is None else changed.light.plain()
    height, width = changed.detail.shape[:2]
    sheet.describe(**facts, width=width, height=height, light=light, verso=changed.verso)
    return sheet


def get(session: Session, name: object = None) -> Sheet:
    """The result on the page, or the one of that name; none is a `ValueError`."""
    return results.get(Sheet, visit.current(session), name)


def finished(sheet: Sheet, chosen: Choice) -> tuple[Path, dict[str, Any]]:
    """(PNG of a page at these options, bit-identical to `restore`; decision of the gate)."""
    text = repr(sorted(chosen.query(sheet).items()))
    name = f"view-{sha256(text.encode()).hexdigest()[:16]}"
    path, report = sheet.path(f"{name}.png"), sheet.path(f"{name}.json")
    if not (path.exists() and report.exists()):
        page, changed = _pair(sheet)
        result = finish(page, changed, chosen.options, protected(sheet))
        visits.make_room(sheet.session, result.picture.rgb.nbytes // 2)
        images.save(result.picture, path)
        write_json(report, _verdict(result.verdict))
        for old in sorted(sheet.folder.glob("view-*.png"), key=_written)[:-KEPT_VIEWS]:
            visits.remove(old)
    return path, read_json(report)


def page_box(sheet: Sheet) -> tuple[int, int, int, int] | None:
    """Top, left, bottom, right of the page in the picture; None if the page fills it."""
    light = sheet.facts["light"]
    answer = None if light is None else Answer.of(light)
    return None if answer is None or answer.page is None else answer.box


def overlay(sheet: Sheet, name: str, chosen: Choice) -> bytes:
    """ "changed" or "guesses" as a heat map: a PNG, transparent at 0."""
    if name == "changed":
        page, changed = _pair(sheet)
        options = replace(chosen.options, output="color", threshold="ink", crop=False)
        values = difference(page.rgb, finish(page, changed, options, protected(sheet)).picture.rgb)
        return _heat(values, CHANGE_MOST)
    if not sheet.path(GUESSES).exists():
        raise ValueError("Where the network guesses was not asked for yet")
    return _heat(images.read(sheet.path(GUESSES)).rgb[..., 0], GUESS_MOST)


def keep_guesses(sheet: Sheet, values: np.ndarray) -> None:
    """Store the uncertainty of the network, uint8 (H, W)."""
    images.save(Picture(np.repeat(values[..., None], 3, 2)), sheet.path(GUESSES))


def keep_mask(sheet: Sheet, png: bytes) -> None:
    """Store the painted mask: the original stays where its alpha is set. Any size is accepted."""
    painted = guarded.read(png, limits.UPLOAD_PIXELS.value).alpha
    if painted is None or not painted.any():
        visits.remove(sheet.path(MASK))
        return
    images.save(Picture(np.repeat(painted[..., None], 3, 2)), sheet.path(MASK))


def protected(sheet: Sheet) -> np.ndarray | None:
    """uint8 (H, W), 255 where the original stays; None without a mask."""
    if not sheet.path(MASK).exists():
        return None
    facts = sheet.facts
    mask = Image.fromarray(images.read(sheet.path(MASK)).rgb[..., 0])
    return np.array(mask.resize((facts["width"], facts["height"]), Image.Resampling.BILINEAR))


def page(sheet: Sheet) -> Picture:
    return images.read(sheet.path(PAGE))


def source(session: Session, number: int | None = None) -> Picture:
    """The page that the visitor has chosen, or another one of the same file."""
    chosen = visit.current(session)
    if not chosen.source:
        raise ValueError("Please choose a page first: a file of yours or an example")
    path = session.path(chosen.source)
    return guarded.read(path, limits.UPLOAD_PIXELS.value, page=number or chosen.page)


def _pair(sheet: Sheet) -> tuple[Picture, Change]:
    light, ink = sheet.facts["light"], None
    if sheet.path(INK).exists():
        ink = np.ascontiguousarray(images.read(sheet.path(INK)).rgb[..., 0])
    detail = images.read(sheet.path(CHANGED)).rgb
    answer = None if light is None else Answer.of(light)
    return page(sheet), Change(detail, ink, answer, sheet.facts["verso"])


def _verdict(verdict: restoration.Verdict) -> dict[str, Any]:
    def plain(quality: Any) -> dict[str, float]:
        return {**vars(quality), "score": quality.score}

    return {
        "accepted": verdict.accepted,
        "reason": verdict.reason,
        "change": verdict.change,
        "before": plain(verdict.before),
        "after": plain(verdict.after),
    }


def _heat(values: np.ndarray, most: int) -> bytes:
    """uint8 (H, W) -> PNG: from clear over red to yellow at `most`."""
    share = np.minimum(values.astype(np.float32) / most, 1)
    green = np.maximum(2 * share - 1, 0)
    rgb = np.stack([np.ones_like(share), 0.1 + 0.85 * green, np.full_like(share, 0.1)], 2)
    alpha = (255 * np.minimum(1, 1.6 * share)).astype(np.uint8)
    return images.encode(Picture((255 * rgb).astype(np.uint8), alpha))


def _written(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
