"""Commands of manuscript restoration."""

import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import training
from vision_core.cli.verbs import Answer, Device, Ray, Seed, Workers, command, with_notes
from vision_core.safety import messages

if TYPE_CHECKING:
    from vision_core.restoration import PageRestorer

app = typer.Typer(
    help="Manuscript restoration: restore, damage, evaluate, train, generated pages.", no_args_is_help=True
)

Model = Annotated[Path | None, Option(help="Weights of your own training; by default the bundled ones.")]


@command(app)
def run(
    sources: Annotated[list[Path], Argument(help="Images, folders, TIFFs or PDFs.")],
    out: Annotated[Path, Option(help="A file, or a folder for several.")],
    model: Model = None,
    method: Annotated[
        str, Option(help="network, classical (CLAHE and unsharp mask) or denoise (non-local means).")
    ] = "network",
    light: Annotated[
        float,
        Option(help="Illumination: 0 keeps it, 0.5 corrects it where the network is confident, 1 fully."),
    ] = 0.5,
    strength: Annotated[float, Option(help="Share of the change to apply, 0 to 1.")] = 1.0,
    protect: Annotated[Path | None, Option(help="Mask picture, white where the original is kept.")] = None,
    output: Annotated[str, Option(help="color, grey, binary (one bit) or soft (grey ink).")] = "color",
    threshold: Annotated[
        str, Option(help="For binary and soft: ink (the network's), sauvola, wolf or otsu.")
    ] = "ink",
    caution: Annotated[float, Option(help="Caution of the gate, 0 to 1; less restores more.")] = 0.5,
    no_gate: Annotated[bool, Option("--no-gate", help="Restore also where it does not help.")] = False,
    sharpen: Annotated[bool, Option("--sharpen", help="Apply an unsharp mask to the result.")] = False,
    crop: Annotated[bool, Option("--crop", help="Remove what surrounds a page: a table, a cover.")] = False,
    memory: Annotated[float, Option(help="Memory limit in MB for the page and the tiles.")] = 1024,
    report: Annotated[Path | None, Option(help="Write a table of all pages: *.csv")] = None,
    device: Device = "auto",
    ray: Ray = None,
    workers: Workers = None,
) -> Answer:
    """Restore pages. A second run over the same files continues where the first one stopped."""
    from vision_core import cluster, restoration, weights
    from vision_core.restoration import batch, reports, spread
    from vision_core.restoration.restore import Options

    choices = (
        strength,
        output,
        not no_gate,
        sharpen,
        method,
        memory,
        light,
        caution,
        threshold,
        device,
        crop,
    )
    options = Options(*choices)  # pyright: ignore[reportArgumentType]
    network, name = None, method
    if method == "network":
        network, _ = restoration.load(model)
        name = _digest(weights.find("restoration", model))
    mask = None if protect is None else _protected(protect)
    rows, complete = [], False
    try:
        if ray is None:
            results = batch.run(sources, out, network, options, mask, name)
        else:
            results = spread.run(sources, out, network, options, mask, name, ray, workers)
        for row in results:
            rows.append(row)
            typer.echo(messages.printable(_page_line(row)), err=True)
        complete = True
        rows = rows if ray is None else spread.in_order(rows, sources, out)
    finally:
        if report is not None and rows:
            with nullcontext() if complete else suppress(OSError):  # a full disk must not hide the page
                reports.save(batch.table(rows), report)
    return _summary(cluster.as_typed(out), batch.table(rows), batch.listed(sources, out).notes)


def _protected(path: Path) -> Any:
    """uint8 (H, W), 255 where the original is kept."""
    from vision_core.pictures import images
    from vision_core.pictures.strength import strength

    mask = strength(images.read(path))
    if not mask.any():
        raise ValueError(f"{path} protects nothing: it is black everywhere")
    return mask


def _page_line(row: Any) -> str:
    """The progress line of a page."""
    if row.outcome == "failed":
        return f"failed: {row.reason}"
    where = f"{row.source}, page {row.page}" if row.page else row.source
    note = f"; note: {row.notes}" if row.notes else ""
    return f"{where}: {row.outcome}: {row.reason} ({row.seconds:g} s){note}"


def _summary(out: str, rows: list[Any], notes: list[str]) -> Answer:
    """The final answer; raises `ValueError` if nothing was written."""
    failed = [row for row in rows if row.outcome == "failed"]
    broken = {row.source for row in failed if not row.page}  # documents that were not written
    if all(row.outcome == "failed" or row.source in broken for row in rows):
        raise ValueError("; ".join(row.reason for row in failed if row is failed[0] or not row.page))
    written = [row for row in rows if row.page and row.written]
    restored = sum(row.outcome == "restored" for row in written)
    number = "1 page" if len(written) == 1 else f"{len(written)} pages"
    text = f"{out}: {number} written, {restored} of them restored"
    pages = sum(row.page > 0 for row in failed)
    if failed:
        text += f"; {pages} could not be read, e.g. {failed[0].reason}"
    data = {"out": out, "pages": [vars(row) for row in rows], "failed": pages, "notes": notes}
    return Answer(text + with_notes(notes), data, incomplete=bool(failed))


@command(app)
def damage(
    image: Annotated[Path, Argument(help="A clean page.")],
    out: Annotated[Path, Option(help="Damaged picture to write; the recipe is written next to it as .json.")],
    kind: Annotated[list[str] | None, Option(help="Kind of damage; may be repeated.")] = None,
    severity: Annotated[
        int | None, Option(min=1, max=5, help="1 to 5; by default random for each kind.")
    ] = None,
    recipe: Annotated[Path | None, Option(help="Repeat the damage of this recipe.")] = None,
    seed: Seed = 0,
    given: Any = (),
) -> Answer:
    """Damage a clean page, reproducibly; by default with a mixture of kinds."""
    from vision_core import restoration
    from vision_core.files import atomic, read_json
    from vision_core.pictures import images

    if recipe is not None and (others := {"kind", "severity", "seed"} & {*given}):
        raise ValueError(f"--recipe defines the damage: remove --{' and --'.join(sorted(others))}")
    picture = images.read(image)
    if recipe is not None:
        drawn = read_json(recipe)
        if isinstance(drawn, dict) and drawn.get("steps") == []:
            raise ValueError(f"{recipe} has no steps: it would change nothing")
        restoration.check(drawn)
    elif kind:
        drawn = restoration.draw(seed, tuple(kind), severity)
    else:
        drawn = restoration.draw_mixture(seed, severity)
    damaged = restoration.degrade(images.to_tensor(picture.rgb), [drawn])
    with atomic(out.with_suffix(".json")) as file:  # both are there, or neither
        file.write(json.dumps(drawn, indent=2, allow_nan=False).encode() + b"\n")
        images.save(picture.with_rgb(images.from_tensor(damaged)), out)
    kinds = ", ".join(step["kind"] for step in drawn["steps"])
    return Answer(f"{out}: {kinds}", {"out": str(out), "recipe": drawn})


@command(app)
def evaluate(
    folder: Annotated[Path, Argument(help="Clean pages, or pairs NAME_source.png and NAME_target.png.")],
    model: Model = None,
    what: Annotated[
        str, Option(help="For clean pages: mixtures, kinds (each kind and severity), undamaged or text.")
    ] = "kinds",
    crops: Annotated[
        int | None,
        Option(
            min=1,
            max=100_000,
            help="Number of mixtures or text lines (40), or of crops per kind and severity (2).",
        ),
    ] = None,
    held_out: Annotated[
        bool, Option("--held-out", help="Only the manuscripts that `train` holds out.")
    ] = False,
    seed: Seed = 0,
) -> Answer:
    """Evaluate the network and its gate on damaged and clean pages, or on real pages with ground truth."""
    from vision_core import restoration
    from vision_core.restoration import data
    from vision_core.restoration.evaluate import (
        mixtures,
        mixtures_summary,
        pairs,
        pairs_summary,
        summary,
        undamaged,
        undamaged_summary,
    )

    network, _ = restoration.load(model)
    if pairs(folder):
        return _table(list(restoration.evaluate_pairs(folder, network)), pairs_summary)
    if what == "text":
        from vision_core.restoration.reading import evaluate_text, text_summary

        return _table(list(evaluate_text(folder, network, crops or 40, seed)), text_summary)
    pages = data.read(folder)
    pages = data.split(pages)[1] if held_out else pages
    match what:
        case "mixtures":
            return _table(list(mixtures(pages, network, crops or 40, seed)), mixtures_summary)
        case "undamaged":
            return _table(list(undamaged(pages, network)), undamaged_summary)
        case "kinds":
            rows = list(restoration.evaluate(pages, network, crops or 2, seed))
            shown = [{name: value for name, value in row.items() if name != "classical"} for row in rows]
            answer = _table(shown, lambda _: summary(rows))
            return Answer(answer.text, {"rows": rows, "summary": summary(rows), "pages": len(pages)})
    raise ValueError(f"what is {what!r}; mixtures, kinds, undamaged or text was expected")


@command(app)
def flow(
    image: Annotated[Path, Argument(help="A clean page.")],
    out: Annotated[Path, Option(help="Folder for the pictures.")],
    model: Model = None,
    severity: Annotated[int, Option(min=1, max=5, help="1 to 5.")] = 3,
    seed: Seed = 0,
) -> Answer:
    """Write six pictures: clean, damaged, restored, difference, uncertainty and a comparison."""
    from vision_core import restoration
    from vision_core.pictures import images

    network, _ = restoration.load(model)
    steps = restoration.flow(images.read(image), network, restoration.draw_mixture(seed, severity), out)
    files = {title: str(path) for title, path in steps}
    return Answer("\n".join(f"{title}: {path}" for title, path in files.items()), {"files": files})


@command(app)
def pages(
    out: Annotated[Path, Option(help="Folder for the pages.")],
    number: Annotated[int, Option(min=1, max=100_000)] = 12,
    seed: Seed = 0,
) -> Answer:
    """Generate manuscript-like pages as training data."""
    from vision_core.pictures.images import Picture, save
    from vision_core.restoration import pages as generator

    files = []
    for index in range(number):
        page = generator.page(index, seed)
        files.append(out / f"{Path(page.name).name}.png")
        save(Picture(page.rgb), files[-1])
    return Answer(f"{out}: {number} pages", {"files": [str(file) for file in files]})


@training(app, "vision_core.restoration.train")
def train(folder: Path, result: Any) -> Answer:
    """Train a restorer on clean pages, which are cropped and damaged on the fly."""
    text = f"{folder}: {result['val_gain']:+.2f} dB over the damaged crops of held-out pages"
    return Answer(text, {"out": str(folder), **result})


@command(app)
def join(
    detail: Annotated[Path, Argument(help="Weights whose detail network to use.")],
    light: Annotated[list[Path], Argument(help="Weights whose light networks to use, one or more.")],
    out: Annotated[Path, Option(help="File to write, in half precision.")],
) -> Answer:
    """Join the detail network of one training and the light networks of others into an ensemble."""
    from vision_core.restoration import networks

    networks.join(detail, light, out)
    lights = ", ".join(map(str, light))
    return Answer(f"{out}: the detail of {detail}, the light of {lights}", {"out": str(out)})


@command(app, "fit-gate")
def fit_gate(
    folder: Annotated[Path, Argument(help="Folder of clean pages; those held out by `train` are used.")],
    out: Annotated[Path, Option(help="Gate to write, *.json.")],
    model: Model = None,
    crops: Annotated[int, Option(min=20, max=100_000, help="Number of damaged crops to fit on.")] = 400,
    fonts_dir: Annotated[Path | None, Option(help="Fonts for generated writing.")] = None,
    seed: Seed = 0,
) -> Answer:
    """Fit the gate on damaged crops with known ground truth, and evaluate it on others."""
    from vision_core.restoration import data, learn_gate, text
    from vision_core.restoration.world import World

    network = _page_restorer(model, out)
    pages = [page.rgb for page in data.split(data.read(folder))[1]]
    world = World(pages, fonts=() if fonts_dir is None else text.found_fonts(fonts_dir))
    report = learn_gate.fit(learn_gate.gather(network, world, crops, seed), out, seed)
    return Answer(f"{out}: {_line(report)}", {"out": str(out), **report})


@command(app, "fit-verso")
def fit_verso(
    folder: Annotated[Path, Argument(help="Folder of clean pages; those held out by `train` measure.")],
    out: Annotated[Path, Option(help="Classifier to write, *.json.")],
    model: Model = None,
    versions: Annotated[int, Option(min=1, max=1000, help="Damaged versions of each page.")] = 2,
    seed: Seed = 0,
) -> Answer:
    """Fit the classifier that recognises writing of the other side, and measure it on other pages."""
    from vision_core.restoration import data, learn_verso

    network = _page_restorer(model, out)
    seen, unseen = (
        learn_verso.gather(network, [page.rgb for page in part], versions, seed)
        for part in data.split(data.read(folder))
    )
    report = learn_verso.fit(seen, unseen, out, seed)
    return Answer(f"{out}: {_line(report)}", {"out": str(out), **report})


def _page_restorer(model: Path | None, out: Path) -> "PageRestorer":
    """The network for which a classifier is fitted and written to `out`."""
    from vision_core import restoration

    if out.suffix.lower() != ".json":
        raise ValueError(f"{out} cannot be written: a classifier is a *.json")
    network, _ = restoration.load(model)
    if not isinstance(network, restoration.PageRestorer):
        raise ValueError("a classifier needs the network `pages`, not a ViT")
    return network.eval()


def _digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _table(rows: list[dict[str, Any]], summary: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> Answer:
    """A table of metrics and its summary."""
    names = list(rows[0])
    lines = ["  ".join(f"{name:>12}" for name in names)]
    lines += ["  ".join(f"{row[name]!s:>12}" for name in names) for row in rows]
    totals = summary(rows)
    return Answer("\n".join([*lines, _line(totals)]), {"rows": rows, "summary": totals})


def _line(numbers: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in numbers.items())
