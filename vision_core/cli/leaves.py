"""Commands of the leaf system."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.training import training
from vision_core.cli.verbs import (
    Answer,
    Ray,
    Seed,
    Workers,
    command,
    watch,
)
from vision_core.settings import COUNT

app = typer.Typer(
    help="The leaf classifier: look at a folder, train, measure, predict, explain.", no_args_is_help=True
)

Data = Annotated[Path, Argument(help="Folder, or ZIP of one, whose subfolders are the classes.")]
Model = Annotated[
    Path | None, Option(help="A .safetensors, .pth or .zip of yours; without it, the one that comes along.")
]


@command(app)
def distribution(
    data: Data, out: Annotated[Path | None, Option(help="Figure to write: *.html.")] = None
) -> Answer:
    """Count the pictures of each class: pie, bars, imbalance, and what cannot be read."""
    from vision_core import leaves, plots
    from vision_core.leaves.plots import distribution

    with leaves.unpacked(data) as folder:
        found = leaves.survey(folder)
    counts, told = found.counts(), leaves.imbalance(found.counts())
    if out is not None:
        plots.save(distribution(counts), _page(out))
    lines = [f"{name}: {count}" for name, count in counts.items()]
    if told["small"]:
        lines.append(f"less than half as many as the mean: {', '.join(told['small'])}")
    if any(found.sides):
        for side in dict.fromkeys(found.sides):
            part = found.part(side).counts()
            lines.append(f"{side}: {', '.join(f'{name} {count}' for name, count in part.items())}")
            told.setdefault("splits", {})[side] = part
    lines += _notes(found.notes) + _skipped(found.skipped)
    told |= {"skipped": list(found.skipped), "notes": list(found.notes)}
    return Answer("\n".join(lines), {**told, "counts": counts, "file": out and str(out)})


@command(app)
def split(
    data: Data,
    out: Annotated[Path | None, Option(help="Manifest to write: *.json.")] = None,
    groups: Annotated[
        Path | None, Option(help="CSV file, columns file and leaf_group: pictures of one leaf.")
    ] = None,
    seed: Seed = 0,
) -> Answer:
    """Divide a folder into training, validation and test pictures, and report near duplicates."""
    from vision_core import leaves

    found = leaves.survey(data)
    manifest = leaves.split(found, seed, groups=groups)
    if out is not None:
        manifest.save(out)
    lines = [
        f"{name}: {n['train']} train, {n['validation']} validation, {n['test']} test"
        for name, n in manifest.counts().items()
    ]
    sides = {photo.file: photo.split for photo in manifest.photos}
    crossing = sum(sides[a] != sides[b] for a, b in manifest.leaks)
    where = f"{crossing} of them in two of the folder's own splits" if crossing else "each kept on one side"
    lines.append(f"near duplicates: {len(manifest.leaks)} pairs, {where}")
    lines += [f"one picture in two classes: {a} and {b}" for a, b in manifest.conflicts]
    answer = {
        "counts": manifest.counts(),
        "leaks": [list(pair) for pair in manifest.leaks],
        "conflicts": [list(pair) for pair in manifest.conflicts],
        "skipped": list(manifest.skipped),
        "notes": list(found.notes),
        "file": out and str(out),
    }
    return Answer("\n".join([*lines, *_notes(found.notes), *_skipped(manifest.skipped)]), answer)


@command(app)
def augment(
    source: Annotated[Path, Argument(help="A picture, or a folder whose subfolders are the classes.")],
    out: Annotated[Path, Option(help="Folder for the pictures made.")],
    balance: Annotated[
        bool, Option("--balance", help="Make as many pictures of each class as the largest lacks.")
    ] = False,
    seed: Seed = 0,
) -> Answer:
    """Make six kinds of a picture, or of one of each class; or fill up the small classes."""
    from vision_core import leaves
    from vision_core.pictures import images

    if balance:
        found = leaves.survey(source)
        files = {name: [] for name in found.classes}
        for file, label, side in zip(found.files, found.labels, found.sides, strict=True):
            if side in ("", "train"):
                files[found.classes[label]].append(file)
        written = leaves.balance(source, files, out, seed)
        text = "\n".join(f"{name}: {count} more" for name, count in written.items())
        return Answer(f"{text}\nwritten to {out}", {"written": written, "out": str(out)})
    chosen = _one_of_each(source) if source.is_dir() else [source]
    made = []
    for path in chosen:
        for kind, picture in leaves.gallery(images.read(path), seed).items():
            name = f"{path.parent.name}_{path.stem}" if source.is_dir() else path.stem
            images.save(picture, out / f"{name}_{kind}.png")
            made.append(str(out / f"{name}_{kind}.png"))
    return Answer(f"{len(made)} pictures written to {out}", {"files": made, "kinds": list(leaves.KINDS)})


@command(app)
def transform(
    source: Annotated[Path, Argument(help="A picture of a leaf, or a folder of them.")],
    out: Annotated[Path, Option(help="Folder for the pictures and measurements.")],
) -> Answer:
    """Blur, mask, region, analysis, landmarks and colour histogram of leaves."""
    from vision_core import leaves, plots
    from vision_core.files import write_json
    from vision_core.leaves.folders import pictures
    from vision_core.leaves.plots import histograms
    from vision_core.pictures import images

    folder, done, skipped = source.is_dir(), {}, []
    for path in pictures(source) if folder else [source]:
        try:
            found = leaves.transform(images.read(path))
        except ValueError as error:
            if not folder:
                raise
            skipped.append({"file": str(path), "reason": str(error)})
            continue
        target = out / (path.relative_to(source).parent if folder else "") / path.stem
        for name, step in found.steps.items():
            images.save(images.Picture(step), target.with_name(f"{target.name}_{name}.png"))
        plots.save(histograms(found.histograms), target.with_name(f"{target.name}_histogram.html"))
        facts = {"shape": found.shape, "landmarks": found.landmarks, "histograms": found.histograms}
        write_json(target.with_name(f"{target.name}.json"), facts)
        done[str(path)] = found.shape
    text = f"{len(done)} leaves written to {out}"
    answer = {"leaves": done, "skipped": skipped, "out": str(out)}
    return Answer("\n".join([text, *_skipped(skipped)]), answer, incomplete=bool(skipped))


@command(app)
def generate(
    out: Annotated[Path, Option(help="New folder to write.")],
    images: Annotated[int, Option(min=1, max=COUNT, help="How many, over four classes.")] = 400,
    seed: Seed = 0,
    size: Annotated[int, Option(min=32, max=2048, help="Side in pixels.")] = 256,
    biased: Annotated[
        bool, Option("--biased", help="Each class on a ground of its own: watch a classifier cheat.")
    ] = False,
) -> Answer:
    """Draw leaves, healthy and sick, as a folder to train on."""
    from vision_core import leaves

    counts = watch(leaves.generate(out, images, seed, size, biased), "leaves")
    return Answer(f"{sum(counts.values())} leaves written to {out}", {"out": str(out), "counts": counts})


@training(app, "vision_core.leaves.train", arguments=("data",))
def train(folder: Path, result: Any) -> Answer:
    """Train a classifier for the classes of a folder."""
    test = result["metrics"]["test"]
    text = (
        f"{folder}: epoch {result['epoch']}, accuracy {test['accuracy']:.2%} and "
        f"macro-F1 {test['macro_f1']:.4f} on {test['images']} test pictures"
    )
    return Answer(text, {"out": str(folder), **result})


@command(app)
def evaluate(
    data: Data,
    model: Model = None,
    ground: Annotated[
        bool, Option("--ground", help="Also measure what the ground alone gives away (slower).")
    ] = False,
    camera: Annotated[
        bool, Option("--camera", help="Also measure other grounds, light, blur and JPEG (slower).")
    ] = False,
) -> Answer:
    """Measure a model on a folder of classes."""
    import numpy as np

    from vision_core import leaves

    net, metadata = leaves.load(model)
    with leaves.unpacked(data) as folder:
        found = leaves.evaluate(net, folder, metadata.get("seen", ""))
        if ground or camera:
            survey = leaves.survey(folder).measured()
            chosen = [(f, survey.classes[n]) for f, n in zip(survey.files, survey.labels, strict=True)]
            chosen = [(file, name) for file, name in chosen if name in net.classes]
            files = [file for file, _ in chosen]
            truth = np.array([net.classes.index(name) for _, name in chosen])
            if camera:
                found["camera"] = leaves.camera(net, folder, files, truth)
            if ground:
                found["ground"] = leaves.ground_bias(net, folder, files, truth)
    low, high = found["accuracy_interval"]
    lines = [
        f"accuracy {found['accuracy']:.4f} (95 %: {low:.3f} to {high:.3f}), "
        f"macro-F1 {found['macro_f1']:.4f}, ECE {found['ece']:.4f}, {found['images']} pictures, "
        f"{found['refused']:.1%} refused"
        + (f", species {found['species_accuracy']:.4f}" if "species_accuracy" in found else "")
    ]
    lines += [
        f"{name}: precision {row['precision']:.3f}, recall {row['recall']:.3f}, F1 {row['f1']:.3f}, "
        f"{row['support']} pictures"
        for name, row in found["per_class"].items()
    ]
    for name, row in found.get("unknown", {}).items():
        lines.append(f"not a class of the model: {name}, {row['refused']:.1%} of {row['images']} refused")
    if found["trained_on"]:
        lines.append(f"note: the model was trained or chosen on {found['trained_on']} of these pictures")
    if camera:
        lines += [
            f"{way}: {row['right']:.1%} right ({row['of_clean']:.3f}), {row['refused']:.1%} refused"
            for way, row in found["camera"].items()
        ]
    if ground:
        bias = found["ground"]
        lines.append(
            f"from the ground alone {bias['ground_only']:.1%} right (chance {bias['chance']:.1%}), "
            f"from the leaf alone {bias['leaf_only']:.1%}, from the whole picture {bias['whole']:.1%}"
        )
    return Answer("\n".join([*lines, *_notes(found["notes"]), *_skipped(found["skipped"])]), found)


@command(app)
def predict(
    paths: Annotated[list[Path], Argument(help="Pictures, and folders of pictures.", metavar="IMAGE|DIR...")],
    model: Model = None,
    out: Annotated[
        Path | None,
        Option(help="Folder for prediction.csv with refusals, a contact sheet, and a card for each."),
    ] = None,
    ray: Ray = None,
    workers: Workers = None,
) -> Answer:
    """Say what leaves have; refuse what is no leaf of a known kind, and say so of a poor picture."""
    from vision_core import cluster, leaves

    spread = partial(cluster.mapped, address=ray, workers=workers) if ray else map
    looks, skipped = leaves.look_at_files(leaves.load(model)[0], paths, spread)
    lines, rows = [], []
    for file, seen in looks:
        for number, leaf in enumerate(seen.leaves, 1):
            lead = f"{file}, leaf {number}" if len(seen.leaves) > 1 else file
            ill = "" if leaf.ill is None else f"; {leaf.ill:.0%} of it is discoloured"
            lines.append(f"{lead}: {leaves.verdict(leaf.answer)}{ill}")
            place = {"box": leaf.box and list(leaf.box), "discoloured": leaf.ill}
            rows.append({"file": file, **asdict(leaf.answer), **place, "advice": list(seen.advice)})
        lines += [f"{file}: {sentence}" for sentence in seen.advice]
    answer = {"predictions": rows, "skipped": skipped}
    if out is not None:
        answer["files"] = [str(path) for path in leaves.write_looks(looks, out)]
        lines.append(f"table, contact sheet and cards written to {out}")
    return Answer("\n".join([*lines, *_skipped(skipped)]), answer, incomplete=bool(skipped))


@command(app)
def teach(
    data: Annotated[
        Path, Argument(help="Folder, or ZIP, whose subfolders are the classes, about ten pictures each.")
    ],
    out: Annotated[Path, Option(help="Model to write: *.safetensors or *.pth.")],
    base: Model = None,
    seed: Seed = 0,
) -> Answer:
    """Teach new classes from a few pictures each, in seconds and without a training."""
    from vision_core import checkpoints, leaves

    with leaves.unpacked(data) as folder:
        model, told = leaves.teach(folder, base, seed)
    checkpoints.save(out, model, told)
    found = told["metrics"]["left_out"]
    low, high = found["accuracy_interval"]
    text = (
        f"{out}: {len(model.classes)} classes from {found['images']} pictures. Each asked of a model "
        f"that was not shown it: {found['accuracy']:.0%} right (95 %: {low:.0%} to {high:.0%})"
    )
    rest = {name: value for name, value in told.items() if name != "seen"}
    return Answer("\n".join([text, *_skipped(told["skipped"])]), {"file": str(out), **rest})


@command(app)
def unknown(
    data: Data,
    others: Annotated[Path | None, Option(help="Folder of pictures of no leaf, refused as well.")] = None,
    by: Annotated[str, Option(help="species or disease: what is left out, one after the other.")] = "species",
    model: Model = None,
) -> Answer:
    """Measure the refusal of what was never shown: leave out each species, or each disease, in turn."""
    from vision_core import leaves

    with leaves.unpacked(data) as folder:
        found = leaves.left_out(leaves.load(model)[0], folder, by, others)
    lines = []
    for row in found["rows"]:
        rest = f"; of no leaf {row['others']:.1%}" if "others" in row else ""
        lines.append(
            f"{row['left_out']}: AUROC {row['auroc']:.3f}, {row['refused']:.1%} of {row['images']} refused "
            f"at 3 % of the known leaves{rest}"
        )
    lines.append(
        f"mean AUROC {found['auroc']:.3f}, {found['refused']:.1%} refused, least {found['least_refused']:.1%}"
    )
    return Answer("\n".join(lines), found)


@command(app)
def explain(
    image: Annotated[Path, Argument(help="A picture of a leaf.")],
    out: Annotated[Path, Option(help="Picture to write: leaf, Grad-CAM, leaf alone.")],
    model: Model = None,
    label: Annotated[str | None, Option(help="Explain this class instead of the likeliest.")] = None,
) -> Answer:
    """Show which parts of a picture speak for the answer."""
    from vision_core import leaves
    from vision_core.pictures import images

    found = leaves.explain(leaves.load(model)[0], images.read(image), label)
    images.save(images.Picture(leaves.side_by_side(found)), out)
    row = asdict(found.prediction)
    text = leaves.verdict(found.prediction)
    if found.outside is not None:
        text += f"; {found.outside:.0%} of what speaks for it lies off the leaf"
    return Answer(text, {"file": str(out), **row, "outside": found.outside})


@command(app)
def site(
    out: Annotated[Path, Option(help="Folder to write, about 9 MB.")],
    model: Model = None,
) -> Answer:
    """Write a static page that answers in the visitor's browser; any file server shows it."""
    from vision_core.leaves.site import publish

    folder = publish(out, model)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Answer(f"{folder}: {size / 1e6:.1f} MB", {"out": str(folder), "bytes": size})


@command(app)
def bundle(
    run: Annotated[Path, Argument(help="Folder of a finished run.")],
    out: Annotated[Path, Option(help="File to write: *.zip, *.safetensors, *.pth or *.onnx.")],
    half: Annotated[bool, Option("--half", help="In half precision (not .zip).")] = False,
) -> Answer:
    """Write a finished model as one file to give away."""
    import hashlib

    from vision_core import leaves

    written = leaves.bundle(run, out, half)
    digest = hashlib.sha256(written.read_bytes()).hexdigest()
    size = written.stat().st_size
    answer = {"file": str(written), "bytes": size, "sha256": digest}
    return Answer(f"{written}: {size:,} bytes, SHA-256 {digest}", answer)


def _notes(sentences: Any) -> list[str]:
    return [f"note: {sentence}" for sentence in sentences]


def _skipped(entries: Any) -> list[str]:
    return [f"skipped: {entry['file']} {entry['reason']}" for entry in entries]


def _page(out: Path) -> Path:
    if out.suffix.lower() != ".html":
        raise ValueError(f"a figure is written as .html, not as {out.name}")
    return out


def _one_of_each(folder: Path) -> list[Path]:
    """The first picture of each class."""
    from vision_core.leaves import folders

    first: dict[str, Path] = {}
    for name, _, path in folders.read(folder).files():
        first.setdefault(name, path)
    return list(first.values())
