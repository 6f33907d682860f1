"""Commands of the leaf system."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from vision_core.cli.leaves_data import Data, notes, register, skipped_lines
from vision_core.cli.training import training
from vision_core.cli.verbs import Answer, Ray, Seed, Workers, command, noted

app = typer.Typer(
    help="The leaf classifier: look at a folder, train, measure, predict, explain.", no_args_is_help=True
)
register(app)

Model = Annotated[
    Path | None, Option(help="A .safetensors, .pth or .zip of yours; by default the bundled one.")
]


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
        bool, Option("--ground", help="Also measure the accuracy on the background alone (slower).")
    ] = False,
    camera: Annotated[
        bool, Option("--camera", help="Also measure other backgrounds, light, blur and JPEG (slower).")
    ] = False,
) -> Answer:
    """Measure a model on a folder of classes."""
    import numpy as np

    from vision_core import leaves

    net, metadata = leaves.load(model)
    with leaves.unpacked(data) as folder:
        metrics = leaves.evaluate(net, folder, metadata.get("seen", ""))
        if ground or camera:
            survey = leaves.survey(folder).measured()
            chosen = [(f, survey.classes[n]) for f, n in zip(survey.files, survey.labels, strict=True)]
            chosen = [(file, name) for file, name in chosen if name in net.classes]
            files = [file for file, _ in chosen]
            truth = np.array([net.classes.index(name) for _, name in chosen])
            if camera:
                metrics["camera"] = leaves.camera(net, folder, files, truth)
            if ground:
                metrics["ground"] = leaves.ground_bias(net, folder, files, truth)
    low, high = metrics["accuracy_interval"]
    lines = [
        f"accuracy {metrics['accuracy']:.4f} (95 %: {low:.3f} to {high:.3f}), "
        f"macro-F1 {metrics['macro_f1']:.4f}, ECE {metrics['ece']:.4f}, {metrics['images']} pictures, "
        f"{metrics['refused']:.1%} rejected"
        + (f", species {metrics['species_accuracy']:.4f}" if "species_accuracy" in metrics else "")
    ]
    lines += [
        f"{name}: precision {row['precision']:.3f}, recall {row['recall']:.3f}, F1 {row['f1']:.3f}, "
        f"{row['support']} pictures"
        for name, row in metrics["per_class"].items()
    ]
    for name, row in metrics.get("unknown", {}).items():
        lines.append(f"not a class of the model: {name}, {row['refused']:.1%} of {row['images']} rejected")
    if metrics["trained_on"]:
        lines.append(f"note: the model was trained or chosen on {metrics['trained_on']} of these pictures")
    if camera:
        lines += [
            f"{way}: {row['right']:.1%} right ({row['of_clean']:.3f}), {row['refused']:.1%} rejected"
            for way, row in metrics["camera"].items()
        ]
    if ground:
        bias = metrics["ground"]
        lines.append(
            f"from the background alone {bias['ground_only']:.1%} right (chance {bias['chance']:.1%}), "
            f"from the leaf alone {bias['leaf_only']:.1%}, from the whole picture {bias['whole']:.1%}"
        )
    return Answer("\n".join([*lines, *notes(metrics["notes"]), *skipped_lines(metrics["skipped"])]), metrics)


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
    """Classify leaves; reject out-of-distribution pictures, and give advice on poor ones."""
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
    return Answer("\n".join([*lines, *skipped_lines(skipped)]), answer, incomplete=bool(skipped))


@command(app)
def teach(
    data: Annotated[
        Path, Argument(help="Folder, or ZIP, whose subfolders are the classes, about ten pictures each.")
    ],
    out: Annotated[Path, Option(help="Model to write: *.safetensors or *.pth.")],
    base: Model = None,
    seed: Seed = 0,
) -> Answer:
    """Teach new classes from a few pictures each, in seconds, without gradient training."""
    from vision_core import checkpoints, leaves

    with leaves.unpacked(data) as folder:
        model, metadata = leaves.teach(folder, base, seed)
    checkpoints.save(out, model, metadata)
    metrics = metadata["metrics"]["left_out"]
    low, high = metrics["accuracy_interval"]
    text = (
        f"{out}: {len(model.classes)} classes from {metrics['images']} pictures. "
        f"Cross-validated accuracy {metrics['accuracy']:.0%} (95 %: {low:.0%} to {high:.0%})"
    )
    rest = {name: value for name, value in metadata.items() if name != "seen"}
    return Answer("\n".join([text, *skipped_lines(metadata["skipped"])]), {"file": str(out), **rest})


@command(app)
def unknown(
    data: Data,
    others: Annotated[
        Path | None, Option(help="Folder of pictures without leaves, which should be rejected, too.")
    ] = None,
    by: Annotated[str, Option(help="What to leave out in turn: species or disease.")] = "species",
    model: Model = None,
) -> Answer:
    """Evaluate out-of-distribution detection by leaving out each species, or each disease, in turn."""
    from vision_core import leaves

    with leaves.unpacked(data) as folder:
        report = leaves.left_out(leaves.load(model)[0], folder, by, others)
    lines = []
    for row in report["rows"]:
        rest = f"; without a leaf {row['others']:.1%}" if "others" in row else ""
        lines.append(
            f"{row['left_out']}: AUROC {row['auroc']:.3f}, {row['refused']:.1%} of {row['images']} rejected "
            f"with 3 % of the known leaves{rest}"
        )
    lines.append(
        f"mean AUROC {report['auroc']:.3f}, {report['refused']:.1%} rejected, "
        f"least {report['least_refused']:.1%}"
    )
    return Answer("\n".join(lines), report)


@command(app)
def explain(
    image: Annotated[Path, Argument(help="A picture of a leaf.")],
    out: Annotated[Path, Option(help="Picture to write: leaf, Grad-CAM, leaf alone.")],
    model: Model = None,
    label: Annotated[str | None, Option(help="Class to explain; by default the predicted one.")] = None,
) -> Answer:
    """Show which parts of a picture support the prediction."""
    from vision_core import leaves
    from vision_core.pictures import images

    picture = images.read(image)
    explanation = leaves.explain(leaves.load(model)[0], picture, label)
    images.save(images.Picture(leaves.side_by_side(explanation)), out)
    row = asdict(explanation.prediction)
    text = leaves.verdict(explanation.prediction)
    if explanation.outside is not None:
        text += f"; {explanation.outside:.0%} of the Grad-CAM lies outside the leaf"
    return noted(Answer(text, {"file": str(out), **row, "outside": explanation.outside}), picture)


@command(app)
def site(out: Annotated[Path, Option(help="Folder to write, about 9 MB.")], model: Model = None) -> Answer:
    """Write a static page that classifies in the browser, for any file server."""
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
    """Export a finished model as one file."""
    import hashlib

    from vision_core import leaves

    written = leaves.bundle(run, out, half)
    digest = hashlib.sha256(written.read_bytes()).hexdigest()
    size = written.stat().st_size
    answer = {"file": str(written), "bytes": size, "sha256": digest}
    return Answer(f"{written}: {size:,} bytes, SHA-256 {digest}", answer)
