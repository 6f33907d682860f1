"""Named endpoints for scripts: /restore and /damage, with files as input and exact PNGs as output."""

from tempfile import mkdtemp
from typing import Any

import gradio as gr

from apps.restoration import networks, visit
from apps.shared import gpu, inputs, visits
from apps.shared.faults import user_errors
from apps.shared.inputs import number, whole
from apps.shared.queue import HEAVY
from vision_core import restoration
from vision_core.pictures import images
from vision_core.restoration import KINDS
from vision_core.restoration.restore import Options
from vision_core.safety import guarded, limits


@user_errors
def restore(
    file: str | None, page: float, method: str, strength: float, output: str, sharpen: bool, gate: bool
) -> tuple[str, dict[str, Any]]:
    """Restore one page of an image, TIFF or PDF.

    Returns:
        the page as a PNG, and {"accepted", "reason", "change", "seconds"} of the gate.
    """
    if not file:
        raise ValueError("A file is needed: an image, a TIFF or a PDF")
    strength = number(strength, 0, 1, "The strength")
    if method == "own":
        raise ValueError("A script has no network of its own: network, classical or denoise was expected")
    options = Options(strength, output, bool(gate), bool(sharpen), networks.method_of(method))  # pyright: ignore[reportArgumentType]
    picture = guarded.read(file, limits.UPLOAD_PIXELS.value, page=whole(page, 1, 10**6, "The page"))
    with HEAVY.ticket(visits.new(visit.APP).owner) as turn:
        for _ in turn:
            pass
        network = networks.embedded() if options.method == "network" else None
        result = gpu.call(restoration.restore, picture, network, options)
    verdict = {"accepted": result.verdict.accepted, "reason": result.verdict.reason}
    figures = {"change": round(result.verdict.change, 3), "seconds": round(result.seconds, 2)}
    return _saved(result.picture, "restored.png"), verdict | figures


@user_errors
def damage(file: str | None, kind: str, severity: float, seed: float) -> tuple[str, dict[str, Any]]:
    """Damage a clean page: by one kind, or by a mixture where `kind` is "mixture".

    Returns:
        the damaged page as a PNG, and the recipe that repeats it.
    """
    if not file:
        raise ValueError("A file is needed: an image of a clean page")
    level, start = whole(severity, 1, 5, "The severity"), whole(seed, 0, 2**31, "The seed")
    if kind == "mixture":
        recipe = restoration.draw_mixture(start, level)
    else:
        recipe = restoration.draw(start, (kind,), level)
    picture = inputs.read_picture(file)
    rgb = images.from_tensor(restoration.degrade(images.to_tensor(picture.rgb), [recipe]))
    return _saved(picture.with_rgb(rgb), "damaged.png"), recipe


def _saved(picture: images.Picture, name: str) -> str:
    folder = mkdtemp(dir=visits.uploads())
    path = f"{folder}/{name}"
    images.save(picture, path)
    return path


def build() -> None:
    """The endpoints; their fields are there for their types, and never shown."""
    with gr.Column(visible=False):
        file = inputs.UploadFile(label="file")
        page = inputs.Number(1, label="page", precision=0)
        method = gr.Dropdown(["network", "classical", "denoise"], value="network", label="method")
        strength = inputs.Number(1, label="strength")
        output = gr.Dropdown(["color", "grey", "binary", "soft"], value="color", label="output")
        sharpen, gate = gr.Checkbox(False, label="sharpen"), gr.Checkbox(True, label="gate")
        kind = gr.Dropdown(["mixture", *KINDS], value="mixture", label="kind")
        severity, seed = inputs.Number(3, label="severity"), inputs.Number(0, label="seed", precision=0)
        png, decision = gr.File(label="png"), gr.JSON(label="said")
        damaged, recipe = gr.File(label="png"), gr.JSON(label="recipe")
        one = gr.Button("restore")
        other = gr.Button("damage")
    fields = [file, page, method, strength, output, sharpen, gate]
    one.click(restore, fields, [png, decision], api_name="restore", concurrency_limit=2)
    other.click(
        damage, [file, kind, severity, seed], [damaged, recipe], api_name="damage", concurrency_limit=2
    )
