"""Trains the leaf classifier: a new head on frozen features, or with the last blocks of them."""

import shutil
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from vision_core import checkpoints, devices, runs, training
from vision_core.devices import generator, seeded
from vision_core.events import Event
from vision_core.leaves import data, features, zips
from vision_core.leaves.augment import random_views
from vision_core.leaves.bundle import finish
from vision_core.leaves.data import Manifest
from vision_core.leaves.network import BACKBONES, BLOCKS, LeafNet, square
from vision_core.runs import Run
from vision_core.settings import BATCH_SIZE, COUNT, TrainingSettings, absolute, setting, shareable

MANIFEST, PICTURES = "manifest.json", "pictures"


@dataclass(frozen=True)
class Settings(TrainingSettings):
    """Settings of a training."""

    data: str = setting(help="Folder, or ZIP of one, whose subfolders are the classes.", path=True)
    groups: str | None = setting(
        None, "CSV file, columns file and leaf_group: pictures that show one leaf.", path=True
    )
    weights: str = setting(
        "mobilenet", "mobilenet, imagenet (torchvision's, fetched), none, or a file with its names."
    )
    epochs: int = setting(30, "Passes over the pictures.", least=1, most=COUNT)
    batch_size: int = setting(32, "Pictures of a batch.", least=1, most=BATCH_SIZE)
    lr: float = setting(1e-3, "Adam's learning rate.", above=0, below=1)
    unfreeze: int = setting(
        0, "Train the last so many of the 19 blocks, too, at a tenth of the rate.", least=0, most=BLOCKS
    )
    cache_features: bool = setting(False, "Embed every picture once; epochs then take a second.")
    views: int = setting(2, "Of each picture, with --cache-features.", least=1, most=1000)
    balance: Literal["none", "weights", "sampling"] = setting(
        "none", "Balance the classes by their weight in the loss, or by sampling."
    )
    label_smoothing: float = setting(0.0, "Share of the truth given to all classes.", least=0, below=1)
    mixup: float = setting(0.0, "Alpha of mixup's Beta distribution; 0 mixes nothing.", least=0, most=10)
    crop: int = setting(224, "Side of what the network sees, in pixels.", least=32, most=1024)
    reduced: int = setting(
        0,
        "Average the features with those of a copy of this side, at least half the crop; 0: no copy.",
        least=0,
        most=1024,
    )
    patience: int = setting(
        7, "Stop after so many epochs without a smaller validation loss; 0: never.", least=0, most=COUNT
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cache_features and self.trained_blocks:
            raise ValueError(
                "embeddings can be cached only while all features are frozen: leave out --unfreeze"
            )

    @property
    def trained_blocks(self) -> int:
        return BLOCKS if self.weights == "none" else self.unfreeze


def create(out: str | Path, settings: Settings, *, replace: bool = False) -> Run:
    """Create a run for `resume`, which reads, splits and trains; only file names are checked here.

    Raises:
        ValueError: `out` holds a run and `replace` is not set; too few classes or files; no such weights.
    """
    return _create(out, _absolute(settings), replace, split=False)


def train(out: str | Path, settings: Settings, *, replace: bool = False) -> Generator[Event]:
    """Train into the folder `out`; `Done.result` is the metadata of its `model.safetensors`.

    In addition to the files of every run (see `training.run`), it writes manifest.json,
    embeddings.safetensors if features are cached, and finally model.safetensors: the weights of the lowest
    validation loss, with a temperature and a gate fitted on the validation pictures, measured once on the
    test pictures.

    Raises:
        ValueError: as `create`; the data cannot be split; pictures that have disappeared.
        FloatingPointError: the loss is not finite.
    """
    run = _create(out, _absolute(settings), replace, split=True)
    yield from resume(run.folder)


def _create(out: str | Path, settings: Settings, replace: bool, split: bool) -> Run:
    """Create the run; data that cannot be trained on are refused before its folder is created."""
    with zips.unpacked(settings.data) as folder:
        data.check_folder(folder)
        manifest = _split(folder, settings) if split else None
        _initial(settings, ("a", "b"))

        def inputs(run: Path) -> None:
            kept = folder
            if folder != Path(settings.data):  # of a ZIP: a resume needs the pictures
                kept = Path(shutil.copytree(folder, run.resolve() / PICTURES))
            if manifest is not None:
                replaced(manifest, folder=str(kept.resolve())).save(run / MANIFEST)

        return runs.create(out, "leaves", settings, replace=replace, inputs=inputs)


def resume(out: str | Path) -> Generator[Event]:
    """Continue a run that was created, stopped or killed, from its last complete epoch.

    Raises:
        ValueError: `out` holds no run of the leaf system, or one that is complete or still training; the data
            were moved, or the split is lost.
    """
    run, settings = runs.open(out, "leaves", Settings)
    if run.status() == "done":
        raise ValueError(f"{out} is complete: there is nothing to resume")
    with runs.being_trained(run):
        try:
            manifest = _split_once(run, settings)
            model = _initial(settings, manifest.classes).to(devices.pick(settings.device))
        except Exception as error:
            if runs.is_first_process():
                run.log({"event": "failed", "error": str(error) or type(error).__name__})
            raise
    yield from _train(run, settings, manifest, model)


def manifest_of(run: Run) -> Manifest:
    """The split that a run trains on."""
    return data.load(run.folder / MANIFEST)


def _split_once(run: Run, settings: Settings) -> Manifest:
    """The split of a run, made at the start of the training."""
    saved = manifest_of(run) if (run.folder / MANIFEST).exists() else None
    unpacked = run.folder / PICTURES
    folder = saved.folder if saved else unpacked if unpacked.is_dir() else settings.data
    if not Path(folder).is_dir():
        raise ValueError(f"the data of this run are no longer in {folder}: move them back")
    if saved:
        return saved
    if any(event["event"] == "epoch" for event in run.events()):
        raise ValueError(
            f"{run.folder} has no {MANIFEST}, and the pictures it trained on are unknown: "
            "restore the file, or start a new run"
        )
    manifest = _split(folder, settings)
    if runs.is_first_process():
        manifest.save(run.folder / MANIFEST)
    return manifest


def _split(folder: str | Path, settings: Settings) -> Manifest:
    return data.split(data.survey(folder), settings.seed, groups=settings.groups)


def _initial(settings: Settings, classes: tuple[str, ...]) -> LeafNet:
    named = settings.weights if settings.weights in BACKBONES else None
    with seeded(settings.seed):
        model = LeafNet(list(classes), settings.trained_blocks, named, settings.crop, settings.reduced)
    if named:
        model.load_frozen()
    elif settings.weights != "none":
        model.load_backbone(settings.weights)
    return model


def _train(run: Run, settings: Settings, manifest: Manifest, model: LeafNet) -> Generator[Event]:
    """With cached features, the embeddings are computed before the first step."""
    cached: dict[str, Tensor] = {}
    prepare = None
    if not settings.trained_blocks:
        views = settings.views if settings.cache_features else 0
        prepare = features.prepare(run, model, manifest, views, settings.seed, cached)
    train, validation = manifest.of("train"), manifest.of("validation")
    labels = torch.tensor([photo.label for photo in train])
    optimizer = _optimizer(model, settings)
    truth = torch.tensor([photo.label for photo in validation])
    counts = torch.bincount(labels, minlength=len(manifest.classes)).float()
    weight = counts.sum() / counts / len(counts) if settings.balance == "weights" else None

    def batches(epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        rng = generator(settings.seed, epoch)
        order = _order(labels, counts, settings, rng)
        if "train" in cached:
            pictures = _views(cached["train"], order, rng)
        else:
            pictures = _pictures(manifest, [photo.file for photo in train], order, settings.crop, rng)
        for index, x in zip(order, pictures, strict=True):
            yield _mixed(
                x, _targets(labels[index], len(counts), settings.label_smoothing), settings.mixup, rng
            )

    def measure(model: torch.nn.Module, epoch: int) -> dict[str, Any]:
        assert isinstance(model, LeafNet)
        logits = validation_logits(model, manifest, cached.get("validation"))
        return {**_measured(logits, truth), "lr": optimizer.param_groups[0]["lr"]}

    def finished(model: torch.nn.Module) -> dict[str, Any]:
        # by the smallest loss: on a few hundred pictures, many epochs tie in accuracy
        best, metadata = checkpoints.load(run.folder / "best.safetensors", LeafNet)
        facts = {
            "epoch": metadata["epoch"],
            "settings": shareable(asdict(settings)),
            "best_epoch": metadata["metrics"],
        }
        return finish(run, best.to(next(model.parameters()).device), manifest, cached, facts)

    yield from training.run(
        run,
        model,
        optimizer,
        batches,
        partial(_terms, weight),
        _plan(settings, len(train)),
        scheduler=ReduceLROnPlateau(optimizer, "min", factor=0.5, patience=3),
        measure=measure,
        metadata={"classes": list(manifest.classes), "licence": "Apache-2.0"},
        finish=finished,
        prepare=prepare,
    )


def _absolute(settings: Settings) -> Settings:
    settings = absolute(settings)
    named = settings.weights in (*BACKBONES, "none")
    return settings if named else replaced(settings, weights=str(Path(settings.weights).absolute()))


def _plan(settings: Settings, count: int) -> training.Plan:
    return training.Plan.of(
        settings,
        max(1, count // settings.batch_size),
        weights={"train_accuracy": 0.0},
        best={"val_loss": "min", "val_accuracy": "max"},
        seed=settings.seed,
    )


def _optimizer(model: LeafNet, settings: Settings) -> torch.optim.Optimizer:
    slow = [p for p in model.features.parameters() if p.requires_grad]
    rate = settings.lr if settings.weights == "none" else settings.lr / 10
    groups = [{"params": [*model.classifier.parameters()], "lr": settings.lr}]
    return torch.optim.Adam(groups + ([{"params": slow, "lr": rate}] if slow else []))


def _order(labels: Tensor, counts: Tensor, settings: Settings, rng: torch.Generator) -> list[Tensor]:
    """The pictures of each batch of an epoch; an incomplete last batch is dropped."""
    if settings.balance == "sampling":
        order = torch.multinomial(1 / counts[labels], len(labels), replacement=True, generator=rng)
    else:
        order = torch.randperm(len(labels), generator=rng)
    steps = max(1, len(labels) // settings.batch_size)
    return list(order.split(settings.batch_size))[:steps]


def _views(embeddings: Tensor, order: list[Tensor], rng: torch.Generator) -> Iterator[Tensor]:
    for index in order:
        view = torch.randint(len(embeddings), index.shape, generator=rng)
        yield embeddings[view, index]


def _pictures(
    manifest: Manifest, files: list[str], order: list[Tensor], crop: int, rng: torch.Generator
) -> Iterator[Tensor]:
    """Random views of the pictures of each batch; the next batches are read in the background."""

    def read(index: Tensor) -> np.ndarray:
        return data.read_squares(manifest.folder, [files[i] for i in index.tolist()], square(crop))

    with ThreadPoolExecutor(1) as reader:
        waiting = [reader.submit(read, index) for index in order[:2]]
        for following in [*order[2:], None, None]:
            if not waiting:
                return
            squares = features.tensor(waiting.pop(0).result())
            if following is not None:
                waiting.append(reader.submit(read, following))
            yield random_views(squares, crop, rng)


def _terms(weight: Tensor | None, model: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    x, target = batch
    logits = model(x)
    right = (logits.detach().argmax(1) == target.argmax(1)).float().mean()
    loss = F.cross_entropy(logits, target, None if weight is None else weight.to(logits.device))
    return {"cross_entropy": loss, "train_accuracy": right}


def _targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    return F.one_hot(labels, classes) * (1 - smoothing) + smoothing / classes


def _mixed(x: Tensor, target: Tensor, alpha: float, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix each entry, and its target, with another of the batch.

    Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization".
    """
    if not alpha:
        return x, target
    seed = int(torch.randint(2**31, (), generator=rng))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = torch.randperm(len(x), generator=rng)
    return torch.lerp(x[other], x, share), torch.lerp(target[other], target, share)


@torch.no_grad()
def validation_logits(model: LeafNet, manifest: Manifest, embeddings: Tensor | None) -> Tensor:
    """Logits (M, C) of the validation pictures, from cached embeddings if there are any."""
    if embeddings is None:
        embeddings = features.embed(model, manifest, "validation")
    return model(embeddings.to(model.temperature.device)).cpu()


def _measured(logits: Tensor, truth: Tensor) -> dict[str, float]:
    from sklearn.metrics import f1_score

    predicted = logits.argmax(1)
    return {
        "val_loss": F.cross_entropy(logits, truth).item(),
        "val_accuracy": (predicted == truth).float().mean().item(),
        "val_macro_f1": float(f1_score(truth.numpy(), predicted.numpy(), average="macro", zero_division=0.0)),  # pyright: ignore[reportArgumentType]
    }
