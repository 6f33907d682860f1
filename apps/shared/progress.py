"""What a page says while it works and afterwards: a bar, or a sentence."""

from html import escape

from vision_core.events import Step


def duration(seconds: float) -> str:
    """3.2 s, 45 s, 2 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def progress(step: Step, unit: str = "epoch") -> str:
    """A bar with loss, percent and the time left, as HTML."""
    percent = 100 * step.step / step.total
    words = f"{unit} {step.step:,} of {step.total:,} · loss {step.losses['total']:.4f}"
    return (
        f'<div class="vc-progress" role="progressbar" aria-label="training" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{percent:.0f}"><span style="width:{percent:.1f}%"></span></div>'
        f'<div class="vc-progress-words"><b>{percent:.0f} %</b><span>{words}</span>'
        f"<span>{duration(step.eta)} left</span></div>"
    )


def note(text: str, kind: str = "info") -> str:
    """A sentence in a soft box; `kind` is info, good or warning."""
    return f'<div class="vc-note vc-{kind}" role="status">{escape(text)}</div>' if text else ""
