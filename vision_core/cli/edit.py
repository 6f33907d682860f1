"""Commands of the editing system."""

import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli import edit_filler, edit_find, edit_tiny
from vision_core.cli.training import training
from vision_core.cli.verbs import Answer, Device, Ray, Workers, command, with_notes

app = typer.Typer(help="Edit a region of a picture and leave the rest untouched.", no_args_is_help=True)
edit_find.register(app)
app.add_typer(edit_tiny.app, name="tiny")
app.add_typer(edit_filler.app, name="filler")
app.add_typer(edit_filler.scratches, name="scratches")

Out = Annotated[Path, Option(help="Folder for the results.")]
Seed = Annotated[int, Option(min=0, max=2**63 - 1, help="Random seed; equal seeds produce equal pictures.")]
Mask = Annotated[
    str | None, Option(help="A PNG, a kind (center, circle, ...), or box:LEFT,TOP,RIGHT,BOTTOM in pixels.")
]
Words = Annotated[str | None, Option(help="Words for the object to mark, instead of --mask.")]
Backend = Annotated[str, Option(help="auto, classical, tiny, diffusers, picture, blur, color or tint.")]
Model = Annotated[str | None, Option(help="Folder or hub repository of a diffusers inpainting model.")]
Steps = Annotated[int, Option(min=1, max=1000, help="Diffusion steps.")]
Guidance = Annotated[
    float | None, Option(help="Classifier-free guidance scale; by default the best measured one.")
]


@command(app)
def run(
    image: Annotated[Path, Argument(help="The picture to edit.")],
    prompt: Annotated[str, Option(help="Description of the wanted picture.")],
    out: Out,
    caption: Annotated[str, Option(help="Description of the current picture.")] = "a picture",
    task: Annotated[str, Option(help="One of the ten tasks; by default, regions are found.")] = "",
    mask: Mask = None,
    backend: Backend = "auto",
    model: Model = None,
    anchors: Annotated[int, Option(min=1, max=64, help="Number of regions to try.")] = 9,
    max_window: Annotated[
        int, Option(min=4, max=16, help="Half of the largest box, in 32nds of the picture.")
    ] = 15,
    anchor_net: Annotated[Path | None, Option(help="A trained AnchorNet that selects the sizes.")] = None,
    vit: Annotated[str | None, Option(help="Folder or repository of the ViT for saliency.")] = None,
    clip: Annotated[str | None, Option(help="Folder or repository of the CLIP for ranking.")] = None,
    steps: Steps = 20,
    guidance: Guidance = None,
    negative: Annotated[str, Option(help="Negative prompt.")] = "",
    text_weight: Annotated[
        float, Option(help="Weight of the similarity to the prompt in the ranking.")
    ] = 2.0,
    image_weight: Annotated[
        float, Option(help="Weight of the similarity to the picture in the ranking.")
    ] = 1.0,
    poisson: Annotated[bool, Option("--poisson", help="Blend the gradients, too.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> Answer:
    """Edit by text: find regions, inpaint each, rank the results. With --mask or --task, edit there only."""
    from vision_core import editing
    from vision_core.editing import scoring
    from vision_core.pictures import images

    picture = images.read(image)
    painter = editing.painter(
        backend, model, generative=True, steps=steps, guidance=guidance, negative=negative, device=device
    )
    blending = editing.Blending(poisson=poisson)
    if task or mask:
        marked = None if mask is None else editing.parse_mask(mask, picture)
        events = editing.perform(
            picture, task or "replace", painter, mask=marked, prompt=prompt, seed=seed, blending=blending
        )
    else:
        events = editing.edit(
            picture,
            caption,
            prompt,
            painter,
            editing.load_saliency(vit, backend, device, painter),
            editing.load_clip(clip, backend, device),
            editing.load_anchor_net(anchor_net) if anchor_net else None,
            anchors=anchors,
            max_window=max_window,
            seed=seed,
            weighting=scoring.Weighting(text=text_weight, image=image_weight),
            blending=blending,
        )
    return _written(_follow(events), out, picture.notes)


@command(app, "task")
def perform(
    name: Annotated[
        str, Argument(help="complete, add, remove, replace, extend, repair, ... (see the docs).")
    ],
    image: Annotated[Path, Argument(help="The picture to edit.")],
    out: Annotated[Path, Option(help="The file to write, *.png.")],
    mask: Mask = None,
    words: Words = None,
    prompt: Annotated[str, Option(help="Description of the wanted content.")] = "",
    backend: Backend = "auto",
    model: Model = None,
    material: Annotated[str | None, Option(help="Fill with a picture, #rrggbb or blur.")] = None,
    amount: Annotated[
        float | None, Option(help="Strength of a blur, as a share of the longer side; by default 0.02.")
    ] = None,
    move: Annotated[
        str, Option(help="Offset of the material: RIGHT,DOWN in widths and heights of the mask.")
    ] = "0,0",
    scale: Annotated[float, Option(help="Scale factor of the material.")] = 1.0,
    light: Annotated[bool, Option("--light", help="Adapt the material to the surrounding colours.")] = False,
    shadow: Annotated[
        bool | None,
        Option(
            "--shadow/--no-shadow",
            help="Remove the shadow of the object, too (default for remove and for replace by a cut-out).",
        ),
    ] = None,
    ratio: Annotated[
        str, Option(help="extend: aspect ratio to reach, such as 16:9, with the picture centred.")
    ] = "",
    left: Annotated[int, Option(min=0, max=100_000, help="extend: pixels to add.")] = 0,
    top: Annotated[int, Option(min=0, max=100_000)] = 0,
    right: Annotated[int, Option(min=0, max=100_000)] = 0,
    bottom: Annotated[int, Option(min=0, max=100_000)] = 0,
    strength: Annotated[
        float | None, Option(help="Denoising strength: how much of the content is discarded.")
    ] = None,
    padding: Annotated[
        float | None, Option(help="Context around the mask, as a share of its longer side.")
    ] = None,
    feather: Annotated[float | None, Option(help="Width of the blend inside the edge, in pixels.")] = None,
    edge: Annotated[
        float | None, Option(help="Width around the mask that may also change, in pixels.")
    ] = None,
    version: Annotated[
        int, Option(min=0, max=2, help="remove: alternative result from the surroundings.")
    ] = 0,
    steps: Steps = 20,
    guidance: Guidance = None,
    negative: Annotated[str, Option(help="Negative prompt.")] = "",
    poisson: Annotated[bool, Option("--poisson", help="Blend the gradients, too.")] = False,
    seed: Seed = 0,
    device: Device = "auto",
    given: Any = (),
) -> Answer:
    """Perform one of the ten tasks; pixels outside the mask stay bit-identical."""
    from vision_core import editing
    from vision_core.color import baselines
    from vision_core.editing import recipe, tasks
    from vision_core.pictures import images

    kind = tasks.named(name)
    _check_options(name, {*given})
    picture = images.read(image)
    marked = editing.marked(picture, mask, words, name)
    painter = editing.painter(
        backend,
        model,
        generative=kind.generative,
        material=material,
        amount=amount,
        **_moved(move, scale),
        relight=baselines.surroundings if light else None,
        steps=steps,
        guidance=guidance,
        negative=negative,
        version=version,
        device=device,
    )
    if not painter.takes_text and (ignored := {"prompt", "negative", "steps", "guidance"} & {*given}):
        raise ValueError(f"{name} by {painter.name} takes no text: remove --{min(ignored)}")
    events = editing.perform(
        picture,
        name,
        painter,
        mask=marked,
        prompt=prompt,
        seed=seed,
        strength=strength,
        padding=padding,
        feather=feather,
        edge=edge,
        with_shadow=shadow,
        sides=_sides(picture, ratio) if ratio else (left, top, right, bottom),
        blending=editing.Blending(poisson=poisson or name == "extend"),
    )
    result = _follow(events)
    recipe.save(result.picture, result.recipe, out)
    changed = float(result.mask.mean())
    text = f"{out}: {name} by {painter.name}, {changed:.1%} of the picture{with_notes(picture.notes)}"
    data = {
        "result": str(out),
        "changed": changed,
        "recipe": asdict(result.recipe),
        "notes": [*picture.notes],
    }
    return Answer(text, data)


def _check_options(task: str, given: set[str]) -> None:
    """Refuse options that the task would ignore."""
    sides = {"left", "top", "right", "bottom"} & given
    where = {"mask", "words"} & given
    size = sides | ({"ratio"} & given)
    if task == "extend" and where:
        raise ValueError(f"extend paints what it adds: remove --{min(where)}")
    if task != "extend" and size:
        raise ValueError(f"only extend adds pixels: remove --{min(size)}")
    if sides and "ratio" in given:
        raise ValueError(f"give --ratio or sides, not both: remove --{min(sides)}")


def _sides(picture: Any, ratio: str) -> tuple[int, int, int, int]:
    from vision_core.editing import compose

    height, width = picture.rgb.shape[:2]
    return compose.sides_for(height, width, ratio)


def _moved(move: str, scale: float) -> dict[str, float]:
    try:
        right, down = (float(part) for part in move.split(","))
    except ValueError:
        raise ValueError(f"--move is {move!r}; RIGHT,DOWN such as 0.2,-0.1 was expected") from None
    return {"right": right, "down": down, "scale": scale}


@training(app, "vision_core.editing.train")
def train(folder: Path, result: Any) -> Answer:
    """Train AnchorNet on pictures with captions and prompts; each candidate is painted and scored once."""
    return Answer(f"{folder}: {result['weights']} is trained", {"out": str(folder), **result})


@command(app)
def batch(
    file: Annotated[Path, Argument(help=r"JSON file {file: \[caption, prompt]}, next to the pictures.")],
    out: Out,
    backend: Backend = "auto",
    model: Model = None,
    anchor_net: Annotated[Path | None, Option(help="A trained AnchorNet.")] = None,
    anchors: Annotated[int, Option(min=1, max=64)] = 9,
    max_window: Annotated[int, Option(min=4, max=16)] = 15,
    steps: Steps = 20,
    seed: Seed = 0,
    device: Device = "auto",
    ray: Ray = None,
    workers: Workers = None,
) -> Answer:
    """Edit many pictures by text; failures are reported and skipped.

    A second run skips finished pictures with the same texts and settings.
    """
    from vision_core import cluster
    from vision_core.editing.many import Editor
    from vision_core.editing.train import read_data

    editor = Editor(
        read_data(file), _follow, backend, model, steps, device, anchor_net, anchors, max_window, seed
    )
    pairs, done = editor.pairs(out), editor.done(out)
    todo = [pair for pair in pairs if pair not in done]
    if todo and ray is None:
        _ = editor.models  # reports missing models before the first picture
    outcomes = {outcome.item: outcome for outcome in cluster.files(todo, editor, ray, workers)}
    existing = [cluster.as_typed(pair[1]) for pair in pairs if pair in done]
    written = [cluster.as_typed(pair[1]) for pair in todo if not outcomes[pair].error]
    failed = [{"file": str(pair[0]), "error": outcomes[pair].error} for pair in todo if outcomes[pair].error]
    if failed and not written and not existing:
        raise ValueError("; ".join(dict.fromkeys(entry["error"] for entry in failed)))
    lines = [*written, *(f"{name} already exists" for name in existing)]
    lines += [f"{entry['file']}: {entry['error']}" for entry in failed]
    return Answer(
        "\n".join(lines), {"written": written, "skipped": existing, "failed": failed}, incomplete=bool(failed)
    )


@command(app)
def again(
    result: Annotated[Path, Argument(help="A result that contains a recipe.")],
    image: Annotated[Path, Option(help="The original picture.")],
    out: Annotated[Path, Option(help="The file to write, *.png.")],
    model: Model = None,
    material: Annotated[str | None, Option(help="The material, if the recipe needs one.")] = None,
    seed: Annotated[int | None, Option(min=0, max=2**63 - 1, help="Replaces the seed of the recipe.")] = None,
    device: Device = "auto",
) -> Answer:
    """Repeat an edit from the recipe inside its PNG."""
    from vision_core import editing
    from vision_core.color import baselines
    from vision_core.editing import recipe
    from vision_core.pictures import images

    saved, picture = recipe.read(result), images.read(image)
    saved = saved if seed is None else replace(saved, seed=seed)
    repeated = _follow(editing.repeat(picture, saved, model, material, baselines.surroundings, device))
    recipe.save(repeated.picture, repeated.recipe, out)
    notes = [*picture.notes]
    if result.suffix.lower() != ".json" and _differs(images.read(result), repeated):
        notes.append(f"outside of the edit {result} shows another picture than {image}")
    data = {"result": str(out), "recipe": asdict(repeated.recipe), "notes": notes}
    return Answer(f"{out}: {saved.task} again{with_notes(notes)}", data)


def _differs(before: Any, repeated: Any) -> bool:
    """Whether the result of a repeated edit is another one where the edit left the picture as it was."""
    now = repeated.picture
    return before.rgb.shape != now.rgb.shape or bool((before.rgb != now.rgb)[~repeated.mask].any())


@command(app)
def fetch(
    repo: Annotated[str, Argument(help="A repository on the model hub.")],
    check: Annotated[bool, Option("--check", help="Only list missing files.")] = False,
) -> Answer:
    """Download a large model; interrupted downloads can be resumed."""
    from vision_core.editing import hub

    files = hub.missing(repo)
    total = sum(files.values())
    if check:
        lines = [f"{size / 1e6:10,.1f} MB  {name}" for name, size in files.items()]
        text = "\n".join([*lines, f"{total / 1e6:,.1f} MB of {repo} are missing"])
        return Answer(text, {"repo": repo, "missing": files, "bytes": total})
    try:
        folder = _follow(hub.fetch(repo))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; fetched files of {repo} are kept, and the same command continues"
        ) from None
    return Answer(f"{repo}: {total / 1e6:,.1f} MB fetched to {folder}", {"repo": repo, "bytes": total})


def _follow(events: Generator[Any, None, Any]) -> Any:
    """Report progress on standard error; returns the result."""
    from vision_core.events import Done, Preview, Step

    reported, result = -1, None
    with closing(events):  # an interrupt ends the work, too
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return result if end.value is None else end.value
            match event:
                case Step(step, total, _, eta) if step * 4 // total != reported:
                    reported = step * 4 // total
                    print(f"{100 * step // total} %, {eta:.0f} s left", file=sys.stderr)
                case Preview(title, _) if title.startswith("anchor"):
                    print(f"{title} is painted", file=sys.stderr)
                case Done(value):
                    result = value


def _written(result: Any, out: Path, notes: Sequence[str]) -> Answer:
    from vision_core import editing
    from vision_core.files import read_json

    folder = editing.write(result, out)
    listed = read_json(folder / "scores.json")["candidates"]
    data = {
        "result": str(folder / "final_output.png"),
        "chosen": result.chosen,
        "candidates": [{**entry, "file": str(folder / entry["file"])} for entry in listed],
        "recipe": asdict(result.recipe),
        "notes": [*notes],
    }
    return Answer(f"{data['result']}: the best of {len(listed)}{with_notes(notes)}", data)
