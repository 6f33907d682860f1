"""Damage lab: damage a clean page, restore it and measure the result against the original."""

from typing import Any

import gradio as gr
import numpy as np

from apps.restoration import networks, sheets
from apps.restoration.visit import current
from apps.shared import gpu, inputs, jobs, visits, wiring
from apps.shared.faults import user_errors
from apps.shared.inputs import whole
from apps.shared.jobs import Job
from apps.shared.views import table
from apps.shared.visits import Session
from vision_core import restoration
from vision_core.files import read_json, write_json
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import KINDS, pages, reading
from vision_core.restoration.evaluate import compare

SIDE = 512  # of the crop that is damaged
SHOWN = ("clean", "damaged", "restored")
FILE = "lab-result.json"
FIRST = {"stains": 3, "yellow_tint": 2, "noise": 2}
COLUMNS = ["damage", "damaged", "restored", "best classical", "gain", "SSIM damaged", "SSIM restored"]


@user_errors
def begin(state: Session | None, source: str, number: float, seed: float, *levels: float) -> None:
    """Damage and restore in the background."""
    session = current(state).session
    recipe = recipe_of(whole(seed, 0, 2**31, "The seed"), levels)
    number = whole(number, 0, 10**6, "The page")
    if source not in ("generated", "mine"):
        raise ValueError(f"There is no source {source!r}")
    mine = sheets.source(session).rgb if source == "mine" else None
    network = networks.loader(session, "network")

    def act(job: Job) -> str:
        job.tell(0, len(recipe["steps"]) + 1, "drawing the page")
        clean = _crop(pages.page(number).pixels.permute(1, 2, 0).numpy() if mine is None else mine)
        rows, read, loaded = [], None, network()
        tensor = images.to_tensor(clean)
        alone = [{"seed": recipe["seed"], "steps": [step]} for step in recipe["steps"]]
        several = [recipe, *alone] if len(alone) > 1 else alone
        for index, part in enumerate(several):
            kinds = [step["kind"] for step in part["steps"]]
            job.tell(index, len(several), f"{' + '.join(kinds).replace('_', ' ')}")
            damaged = restoration.degrade(tensor, [part])
            if index == 0:
                rgb = images.from_tensor(damaged)
                options = restoration.Options(gate=False)
                output = gpu.call(restoration.restore, Picture(rgb), loaded, options).restored
                _keep(session, clean, rgb, output)
                read = reading.legible(clean, rgb, output)
            row = gpu.call(compare, tensor, damaged, loaded)
            name = "all together" if len(kinds) > 1 else f"{kinds[0]} {part['steps'][0]['severity']}"
            rows.append({"name": name.replace("_", " "), **row})
        write_json(session.path(FILE), rows)
        words = "Damaged and restored: the numbers are below."
        if read is not None:
            damaged, restored = (f"{share:.0%}" for share in read)
            words += (
                " Of the letters that Tesseract reads on the clean page, it reads "
                f"{damaged} on the damaged and {restored} on the restored one."
            )
        return words

    jobs.begin(session, "lab", act, again=(begin, [source, number, seed, *levels]))


def recipe_of(seed: int, levels: Any) -> dict[str, Any]:
    """One recipe of a severity for each kind, 0 for none.

    Raises:
        ValueError: a severity that is not 0 to 5, or all of them 0.
    """
    steps = []
    for kind, level in zip(KINDS, levels, strict=True):
        if severity := whole(level, 0, 5, f"The severity of {kind}"):
            steps += restoration.draw(seed, (kind,), severity)["steps"]
    if not steps:
        raise ValueError("Please move at least one slider: there is no damage yet")
    return {"seed": seed, "steps": steps}


@user_errors
def follow(state: Session | None) -> tuple[Any, ...]:
    """(three pictures, table, words, Stop, Start, timer)."""
    session = current(state).session
    words, going_on = jobs.report(session, "lab")
    pictures, table = gr.Gallery(visible=False), ""
    if session.path(FILE).exists() and not going_on:
        shown = [(str(session.path(f"lab-{name}.png")), name) for name in SHOWN]
        pictures = gr.Gallery(shown, visible=True)
        table = _table(read_json(session.path(FILE)))
    return pictures, table, words, *jobs.buttons(going_on)


def _table(rows: list[dict[str, Any]]) -> str:
    cells = []
    for row in rows:
        gain = round(row["psnr_restored"] - row["psnr_damaged"], 1) + 0.0  # no -0.0
        best = f"{row['psnr_classical']:.1f} dB ({row['classical'][0].replace('_', ' ')})"
        figures = [f"{row['psnr_damaged']:.1f} dB", f"{row['psnr_restored']:.1f} dB", best, f"{gain:+.1f} dB"]
        ssim = [f"{row['ssim_damaged']:.3f}", f"{row['ssim_restored']:.3f}"]
        cells.append([row["name"], *figures, *ssim])
    why = (
        "PSNR against the clean page: 10 dB more is a tenth of the squared error. The classical method is "
        "the best of four for this very picture, chosen with the clean page in hand. No gate here."
    )
    return table(COLUMNS, cells, "damage by kind") + f'<p class="vc-empty">{why}</p>'


def _crop(rgb: np.ndarray) -> np.ndarray:
    """The middle of a page."""
    top, left = (max(0, (side - SIDE) // 2) for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + SIDE, left : left + SIDE])


def _keep(session: Session, *pictures: np.ndarray) -> None:
    visits.make_room(session, sum(rgb.nbytes for rgb in pictures))
    for name, rgb in zip(SHOWN, pictures, strict=True):
        images.save(Picture(rgb), session.path(f"lab-{name}.png"))


def build(state: gr.State) -> wiring.Look:
    """The tab's layout and wiring; what to call when a page is loaded."""
    gr.Markdown(
        "Damage a clean page as much as you like and see how much of it the network repairs. The clean page "
        "is known here, so each kind of damage is measured exactly, beside the best classical method."
    )
    with gr.Row():
        source = gr.Radio(
            [("a generated page", "generated"), ("the page I chose", "mine")],
            value="generated",
            label="Clean page",
        )
        number = inputs.Number(1, label="Generated page", precision=0, minimum=0, maximum=1_000_000)
        seed = inputs.Number(0, label="Seed of the damage", precision=0, minimum=0)
    levels = []
    kinds = list(KINDS)
    for first in range(0, len(kinds), 4):
        with gr.Row():
            for kind in kinds[first : first + 4]:
                name = kind.replace("_", " ").capitalize()
                levels.append(
                    inputs.Slider(
                        0,
                        5,
                        FIRST.get(kind, 0),
                        step=1,
                        label=name,
                        info=KINDS[kind].words,
                        min_width=150,
                        elem_id=f"damage-{kind}",
                    )
                )
    start = gr.Button("Damage and restore", variant="primary", size="lg", elem_id="damage")
    words = gr.HTML(elem_id="lab-words")
    stopper = gr.Button("Stop", variant="stop", visible=False)
    pictures = gr.Gallery(
        label="Clean, damaged, restored",
        columns=3,
        height="max-content",
        object_fit="contain",
        format="png",
        interactive=False,
        visible=False,
        elem_id="lab-pictures",
        buttons=["fullscreen", "download"],
    )
    table = gr.HTML(elem_id="lab-table")
    fields = [source, number, seed, *levels]
    return wiring.job(state, start, begin, fields, follow, [pictures, table, words], stopper)
