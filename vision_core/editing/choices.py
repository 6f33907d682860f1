"""Builds painters, saliency models, CLIP models and masks from the options of a command line or an app."""

import os
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vision_core.editing import masks, materials, packed, tasks
from vision_core.editing.editor import Blending, Candidate, Edit, paint, perform
from vision_core.editing.fill.inpainting import GUIDANCE, Classical, Painter
from vision_core.editing.fill.lama import Lama, fetched
from vision_core.editing.find import things
from vision_core.editing.find.saliency import Looker, Saliency
from vision_core.editing.materials import Relight
from vision_core.editing.recipe import Recipe
from vision_core.editing.scoring import Clip
from vision_core.events import Done, Event
from vision_core.files import bundled
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.weights import WEIGHTS, WeightsMissing, find

BACKENDS = ("auto", "classical", "lama", "tiny", "diffusers", "picture", "blur", "color", "tint")


def painter(
    backend: str = "auto",
    model: str | None = None,
    *,
    generative: bool = False,
    material: str | Picture | None = None,
    steps: int = 20,
    guidance: float | None = None,
    negative: str = "",
    version: int = 0,
    amount: float | None = None,
    right: float = 0.0,
    down: float = 0.0,
    scale: float = 1.0,
    relight: Relight | None = None,
    device: str = "auto",
) -> Painter:
    """Create the painter of a backend.

    Args:
        backend: `auto` selects the material if there is one, `diffusers` if there is a model, else `tiny` for
            generative tasks and `continued()` for the others.
        model: for `diffusers`: a folder or a repository.
        material: a picture or the path of one, `#rrggbb`, or `blur`.
        guidance: how closely a diffusion model follows the prompt; None for its value in `GUIDANCE`.
        version: of `classical`: which of `patches.VERSIONS`.
        amount: of `blur`, see `materials.blur`; None is its own.
        right, down, scale, relight: of `picture`, see `materials.picture`.

    Raises:
        ValueError: an unknown backend, or an argument that it needs is missing.
        WeightsMissing: its networks are not on this machine.
    """
    if backend not in BACKENDS:
        raise ValueError(f"no backend is called {backend!r}; there are {', '.join(BACKENDS)}")
    if backend == "auto":
        backend = _automatic(model, generative, material)
    match backend:
        case "classical":
            return Classical(version=version, avoid=other_things)
        case "lama":
            return Lama()
        case "blur":
            return materials.blur() if amount is None else materials.blur(amount)
        case "color":
            return materials.color(material if isinstance(material, str) else "")
        case "tint":
            return materials.tint(material if isinstance(material, str) else "")
        case "picture":
            if not material:
                raise ValueError("say which picture: --material FILE")
            other = images.read(material) if isinstance(material, str) else material
            fit, remover = other.alpha is not None, painter(continued())
            return materials.picture(other.seen, other.alpha, fit, right, down, scale, relight, remover)
    return _diffusion(backend, model, steps, guidance, negative, device)


def _diffusion(
    backend: str, model: str | None, steps: int, guidance: float | None, negative: str, device: str
) -> Painter:
    from vision_core.editing.fill.diffusion import DEFAULT, Diffusion

    source = shipped("inpainting") if backend == "tiny" else model or DEFAULT
    name = "tiny" if backend == "tiny" else "diffusers"
    return Diffusion(
        source,
        name=name,
        steps=steps,
        guidance=GUIDANCE[name] if guidance is None else guidance,
        negative=negative,
        whole=name == "tiny",
        device=device,
    )


def _automatic(model: str | None, generative: bool, material: str | Picture | None) -> str:
    """The backend that `auto` selects."""
    if not material:
        return "diffusers" if model else "tiny" if generative else continued()
    text = material if isinstance(material, str) else ""
    return "blur" if text == "blur" else "color" if text.startswith("#") else "picture"


def other_things(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The boxes of objects next to a hole, bool (H, W): nothing should be copied from them into the hole.

    Objects that lie in the hole, or fill a third of the picture, are ignored. The mask is empty for an
    extended picture, whose objects go on beyond the old border, and without onnxruntime.
    """
    result = np.zeros_like(hole)
    if masks.extends(hole) or find_spec("onnxruntime") is None:
        return result
    for thing in things.detect(rgb):
        left, top, right, bottom = (round(side) for side in thing.box)
        part = slice(max(0, top), max(0, bottom)), slice(max(0, left), max(0, right))
        box = hole[part]
        if box.size and box.mean() < 0.3 and box.size < hole.size / 3:
            result[part] = True
    return result & ~hole


def continued() -> str:
    """The default backend for filling from the surroundings: `lama` if it was fetched, else `classical`."""
    return "lama" if fetched() else "classical"


def load_saliency(
    source: str | None = None, backend: str = "auto", device: str = "auto", painter: Painter | None = None
) -> Looker:
    """Load the ViT in `source`; by default DINO for `diffusers`, and the shipped detectors otherwise.

    For `tiny`, the small world's ViT is preferred if it is installed: it was trained on these scenes only.

    Args:
        painter: the painter that will be used; the small world's implies the backend `tiny`.
    """
    if source:
        return Saliency(source, device)
    if backend == "diffusers":
        return Saliency(device=device)
    if (backend == "tiny" or (painter and painter.name == "tiny")) and at_hand()["dino"]:
        return Saliency(shipped("dino"), device)
    from vision_core.editing.find import eyes

    return eyes.shared()


def load_clip(source: str | None = None, backend: str = "auto", device: str = "auto") -> Clip:
    """Load the CLIP in `source`; by default OpenAI's ViT-B/16 for `diffusers`, else the small world's."""
    if source:
        return Clip(source, device)
    return Clip(device=device) if backend == "diffusers" else Clip(shipped("clip"), device)


def at_hand() -> dict[str, bool]:
    """Which networks are installed: `inpainting`, `clip` and `dino` of the small world, and `diffusers`."""
    from vision_core.editing import hub
    from vision_core.editing.fill.diffusion import DEFAULT

    def there(look: Callable[[], object]) -> bool:
        try:
            look()
        except (WeightsMissing, ValueError):
            return False
        return True

    parts = {part: there(lambda part=part: shipped(part)) for part in ("inpainting", "clip", "dino")}
    return {**parts, "diffusers": there(lambda: hub.folder(DEFAULT, "model_index.json"))}


def missing() -> list[str]:
    """The networks that an edit by text needs and that are not installed."""
    installed = at_hand()
    return [part for part in ("inpainting", "clip") if not installed[part]]


def parse_mask(text: str, picture: Picture) -> np.ndarray:
    """A mask from `box:LEFT,TOP,RIGHT,BOTTOM`, one of `masks.KINDS`, or the path of an image.

    Raises:
        ValueError: none of these, or a mask of another size.
    """
    height, width = picture.rgb.shape[:2]
    if text.startswith("box:"):
        return masks.box(height, width, *_numbers(text[4:], 4))
    if text in masks.KINDS:
        return masks.shape(text, height, width)
    return masks.read(text, height, width)


def marked(picture: Picture, mask: str | None, text: str | None, task: str) -> np.ndarray | None:
    """The mask for a task, from a file or from words; None if the task has its own.

    Raises:
        ValueError: both are given, the mask is invalid, or nothing is found.
    """
    if mask and text:
        raise ValueError("give a mask or words for the thing, not both")
    if mask:
        return parse_mask(mask, picture)
    if text:
        selected, score = select(picture, text)
        if selected is None:
            raise ValueError(f"{text!r} was not found (score {score:.2f}): mark it by a box or a brush")
        return selected
    if task == "repair":
        raise ValueError(
            "repair needs to know where: vision-core edit mask --damage proposes a mask to look at"
        )
    return None


def select(
    picture: Picture,
    text: str | None = None,
    box: str | None = None,
    point: str | None = None,
    sam: str | Path | None = None,
) -> tuple[np.ndarray | None, float]:
    """Select by words, a box `LEFT,TOP,RIGHT,BOTTOM` or a point `X,Y`: the mask or None, and the score.

    Args:
        sam: a folder with another pair of Segment Anything's networks than the shipped one.

    Raises:
        ValueError: not exactly one was given, numbers that do not fit the picture, or unknown words.
    """
    from vision_core.editing.find import eyes
    from vision_core.editing.find.answers import Prompt

    if [text, box, point].count(None) != 2:
        raise ValueError("say what to mark: words, a box or a point, one of them")
    looking = eyes.Eyes(sam) if sam else eyes.shared()
    if text is not None:
        selection = looking.named(picture.seen, text)
        return selection.mask, selection.score
    if box is not None:
        left, top, right, bottom = _numbers(box, 4)
        height, width = picture.rgb.shape[:2]
        masks.box(height, width, left, top, right, bottom)
        prompt = Prompt(box=(left, top, right, bottom))
    else:
        x, y = _numbers(point or "", 2)
        prompt = Prompt(strokes=((((x, y),), True),))
    selection = looking.mark(picture.seen, prompt)
    return (selection if selection.any() else None), float(selection.any())


def repeat(
    picture: Picture,
    recipe: Recipe,
    model: str | None = None,
    material: str | None = None,
    relight: Relight | None = None,
    device: str = "auto",
) -> Generator[Event | Candidate]:
    """Carry out a recipe: `Done` with an `Edit`.

    Args:
        relight: for a recipe whose other picture took on the light of the place.

    Raises:
        ValueError: the recipe is another program's, or does not fit the picture.
    """
    options = recipe.options
    height, width = picture.rgb.shape[:2]
    mask = packed.unpack_mask(recipe.mask) if recipe.mask else None
    if recipe.task == "run":
        if recipe.box is None:
            raise ValueError("the recipe names no box")
        mask = masks.box(height, width, *recipe.box)
    backend = painter(
        "diffusers" if recipe.backend not in BACKENDS else recipe.backend,
        model,
        material=material,
        steps=options.get("steps", 20),
        guidance=options.get("guidance"),
        negative=options.get("negative", ""),
        version=options.get("version", 0),
        **{name: options[name] for name in ("amount", "right", "down", "scale") if name in options},
        relight=relight if options.get("light") else None,
        device=device,
    )
    blending = Blending(options.get("colors", True), options.get("poisson", False))
    names = ("strength", "padding", "feather", "edge")
    numbers = {name: float(options[name]) for name in names if options.get(name) is not None}
    left, top, right, bottom = options.get("sides", (0, 0, 0, 0))
    if recipe.task == "run":
        assert mask is not None
        chosen = tasks.EditPlan(mask, recipe.prompt, seed=recipe.seed)
        result = yield from paint(picture, chosen, backend, blending)
        yield Done(Edit(picture, [Candidate(result, None)], recipe, mask))
        return
    yield from perform(
        picture,
        recipe.task,
        backend,
        mask=mask,
        prompt=recipe.prompt,
        seed=recipe.seed,
        **numbers,
        with_shadow=options.get("shadow", False),
        sides=(left, top, right, bottom),
        blending=blending,
    )


def shipped(part: str) -> Path:
    """The folder of one of the small world's networks: `inpainting`, `clip` or `dino`.

    They lie in models/editing, or in the folder VISION_CORE_EDITING; raises `WeightsMissing` if not.
    """
    override = os.environ.get("VISION_CORE_EDITING")
    folder = Path(override or bundled("models") / "editing") / part
    if not folder.is_dir():
        raise WeightsMissing(
            f"the small world's networks belong in models/editing/{part}: restore that folder, or train them "
            "with vision-core edit tiny train"
        )
    return find(name) if (name := f"editing-{part}") in WEIGHTS and not override else folder


def _numbers(text: str, count: int) -> tuple[int, ...]:
    try:
        numbers = tuple(round(float(part)) for part in text.split(","))
    except (ValueError, OverflowError):
        numbers = ()
    if len(numbers) != count:
        raise ValueError(f"{text!r} was given; {count} numbers separated by commas were expected")
    return numbers
