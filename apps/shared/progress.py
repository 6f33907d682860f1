"""Progress on a page: a bar, or a sentence."""

from html import escape
from typing import Any

from vision_core.events import Step


def duration(seconds: float) -> str:
    """3.2 s, 45 s, 2 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def bar(step: int, total: int, *words: str, eta: float | None = None, label: str = "progress") -> str:
    """A bar with the percentage, some words and the time left."""
    percent = 100 * min(1.0, step / total) if total else 0.0
    left = [f"about {duration(eta)} left"] if eta is not None and percent < 100 else []
    spans = "".join(f"<span>{escape(text)}</span>" for text in (*words, *left) if text)
    return (
        f'<div class="vc-progress" role="progressbar" aria-label="{label}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent:.0f}"><span style="width:{percent:.1f}%"></span></div>'
        f'<div class="vc-progress-words"><b>{percent:.0f} %</b>{spans}</div>'
    )


def training(step: Step, unit: str = "epoch", *words: str) -> str:
    """The bar of a training, with its loss: the total where there are several."""
    loss = step.losses.get("total", next(iter(step.losses.values()), None))
    text = f"{unit} {step.step:,} of {step.total:,}" + ("" if loss is None else f" · loss {loss:.4f}")
    return bar(step.step, step.total, text, *words, eta=step.eta, label="training")


def job(state: dict[str, Any]) -> str:
    """The bar of a running job, see `jobs.state`; without a percentage before it has a total."""
    stopping = note("Stopping …") if state.get("stopping") else ""
    words, total = state["words"], state["total"]
    return (bar(state["step"], total, words, eta=state["eta"]) if total else moving(words)) + stopping


def moving(words: str) -> str:
    """A moving bar without a percentage, for work of unknown length."""
    text = escape(words)
    return (
        f'<div class="vc-progress vc-moving" role="progressbar" aria-label="{text}"><span></span></div>'
        f'<div class="vc-progress-words"><span>{text}</span></div>'
    )


def note(text: str, kind: str = "info") -> str:
    """A sentence in a soft box; `kind` is info, good or warning."""
    return f'<div class="vc-note vc-{kind}" role="status">{escape(text)}</div>' if text else ""
