"""Evaluates the exported networks of the small world on held-out scenes, through their public libraries."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from vision_core import checkpoints
from vision_core.editing.fill.inpainting import GUIDANCE
from vision_core.editing.find.saliency import Saliency
from vision_core.editing.hub import prepare
from vision_core.smallworld import clip, data, dino, judge, world
from vision_core.smallworld.examples import load_autoencoder
from vision_core.smallworld.grammar import COLOURS, KINDS, PLACES, Phrase
from vision_core.smallworld.hiding import WITHHELD


def measure(
    models: str | Path, edits: int = 60, scenes: int = 200, seed: int = 0, guidance: float = GUIDANCE["tiny"]
) -> dict[str, float]:
    """Evaluate all networks in `models`, as written by `train.export`.

    Raises:
        ValueError: the folder contains none of them.
    """
    folder, metrics = Path(models), dict[str, float]()
    if (folder / "clip").is_dir():
        metrics["retrieval_top1"] = retrieval(folder / "clip", scenes)
    if (folder / "dino").is_dir():
        metrics["pointing"] = pointing(folder / "dino", scenes)
    if (folder / "judge.safetensors").is_file():
        model, _ = checkpoints.load(folder / "judge.safetensors", judge.Network)
        metrics |= judge.measure(model.eval(), None, None, scenes)
        tasks = [task(Random(seed * 100_003 + k), withheld=k % 2 == 1) for k in range(edits)]
        metrics |= drawn(model, tasks)
        if (folder / "inpainting" / "model_index.json").is_file():
            metrics |= encoded(folder / "inpainting" / "vae", model, tasks)
            metrics |= editing(folder / "inpainting", model, tasks, seed, guidance)
    if not metrics:
        raise ValueError(f"{models} holds no network of the small world")
    return metrics


def retrieval(folder: Path, scenes: int) -> float:
    """Top-1 retrieval among 64 captions that differ in one attribute, with open_clip."""
    prepare()
    import open_clip

    model, *_ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return sum(clip.retrieved(model.eval(), tokenizer, scene) for scene in clip.crowded(scenes)) / scenes


def pointing(folder: Path, scenes: int) -> float:
    """Pointing game of the saliency that is used to find the regions of an edit."""
    model = Saliency(folder)
    scenes_with_things = [scene for scene in data.scenes(data.HELD_OUT, scenes) if scene.things]
    hits = sum(
        dino.points_at_main(model.look(world.render(scene)).saliency, scene) for scene in scenes_with_things
    )
    return hits / len(scenes_with_things)


Task = tuple[world.Scene, world.Scene, int]  # before, after, and the index of the replaced thing


@torch.inference_mode()
def drawn(judged_by: torch.nn.Module, tasks: list[Task]) -> dict[str, float]:
    """The judge's success rate on ground-truth drawings of the edits, and on the unedited pictures."""
    seen = np.array(
        [
            judge_sees(judged_by, np.stack([world.render(new), world.render(old)]), new.things[index])
            for old, new, index in tasks
        ]
    )
    return {"drawn": float(seen[:, 0].mean()), "unedited": float(seen[:, 1].mean())}


@torch.inference_mode()
def encoded(folder: Path, judged_by: torch.nn.Module, tasks: list[Task]) -> dict[str, float]:
    """The success rate on drawings after the autoencoder, an upper bound for edits."""
    vae, _ = load_autoencoder(str(folder))
    seen = []
    for old, new, index in tasks:
        images = data.drawn([new]) / 127.5 - 1
        again = ((vae.decoder(vae.encoder(images)) / 2 + 0.5).clamp(0, 1) * 255).round().byte()
        mask = hole(old, new, index)[..., None]
        painted = np.where(mask, again[0].permute(1, 2, 0).numpy(), world.render(old))
        seen += judge_sees(judged_by, painted[None], new.things[index])
    return {"encoded": float(np.mean(seen))}


@torch.inference_mode()
def editing(
    folder: Path, judged_by: torch.nn.Module, tasks: list[Task], seed: int, guidance: float = GUIDANCE["tiny"]
) -> dict[str, float]:
    """The share of edits in which the judge recognises the requested thing at its place.

    Every second task requests a combination of kind and colour that was withheld from training.
    """
    prepare()
    from diffusers import AutoPipelineForInpainting

    pipeline = AutoPipelineForInpainting.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    seen = []
    for old, new, index in tasks:
        before, thing = world.render(old), new.things[index]
        mask = hole(old, new, index)
        painted = paint(pipeline, before, mask, prompt(thing), seed, guidance=guidance)
        seen += judge_sees(judged_by, np.where(mask[..., None], painted, before)[None], thing)
    return {"edited_known": float(np.mean(seen[0::2])), "edited_withheld": float(np.mean(seen[1::2]))}


def task(random: Random, withheld: bool) -> Task:
    """A held-out scene, the same scene with one thing replaced by another kind, and its index."""
    while True:
        old = world.scene(data.HELD_OUT + random.getrandbits(28), things=random.randint(1, 3))
        index = random.randrange(len(old.things))
        kind = random.choice([kind for kind in KINDS if kind not in ("boat", old.things[index].kind)])
        colours = [colour for colour in COLOURS[kind] if ((kind, colour) in WITHHELD) == withheld]
        if colours:
            return old, old.change(index, kind=kind, colour=random.choice(colours)), index


def prompt(thing: world.Thing) -> str:
    colour = thing.colour if len(COLOURS[thing.kind]) > 1 else None
    return str(Phrase(thing.kind, colour, thing.size))


def hole(old: world.Scene, new: world.Scene, index: int) -> np.ndarray:
    """The inpainting mask, bool (128, 128): a box around the thing before and after."""
    return box(world.coverage(old)[1 + index] + world.coverage(new)[1 + index])


def box(share: np.ndarray, margin: int = 4) -> np.ndarray:
    """The bounding box of the non-zero pixels, with a margin, as a mask of the same shape."""
    rows, columns = np.nonzero(share)
    mask = np.zeros(share.shape, bool)
    top, left = max(rows.min() - margin, 0), max(columns.min() - margin, 0)
    mask[top : rows.max() + 1 + margin, left : columns.max() + 1 + margin] = True
    return mask


def paint(
    pipeline: Any,
    picture: np.ndarray,
    mask: np.ndarray,
    text: str,
    seed: int,
    steps: int = 20,
    guidance: float = GUIDANCE["tiny"],
) -> np.ndarray:
    """Inpaint with a diffusers pipeline -> uint8 (128, 128, 3)."""
    from PIL import Image

    result = pipeline(
        text,
        image=Image.fromarray(picture),
        mask_image=Image.fromarray(mask.astype(np.uint8) * 255),
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed),
    )
    return np.asarray(result.images[0])


def judge_sees(model: torch.nn.Module, pictures: np.ndarray, thing: world.Thing) -> list[bool]:
    """Whether the judge recognises the thing at its place, for each picture, uint8 (B, 128, 128, 3)."""
    predicted = judge.answers(model, torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)
    expected = judge.truth(world.Scene("sea", "day", (thing,)))
    at = 2 * list(PLACES).index(thing.place)
    return [labels[at : at + 2].tolist() == expected[at : at + 2] for labels in predicted]
