"""Look into a leaf classifier: click a confusion to see its pictures and why; classes, calibration."""

from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from apps.dashboard import charts, jobs
from apps.dashboard.leaves import models, pictures
from apps.dashboard.tables import offer, show_metrics
from vision_core import leaves, runs
from vision_core.leaves import plots
from vision_core.safety import guarded

SPLITS = {"test": "Test pictures", "validation": "Validation pictures"}
SHOWN = 12  # pictures of a cell
WORST = 4  # pictures of the largest losses
PICTURE = 132  # pixels: two pictures and a text fit in half the page
GROUND = 48  # pictures for measuring the background bias


@st.cache_data(max_entries=64, show_spinner=False)
def _answers(name: str, stamp: int, split: str, true: str) -> list[dict[str, Any]]:
    """The answers to the pictures of one true class: "file", "label", "probability", "known"."""
    model, _ = models.load(name)
    manifest = leaves.manifest_of(runs.Run(models.folder(name)))
    label = manifest.classes.index(true)
    files = [photo.file for photo in manifest.of(split) if photo.label == label]
    answers, _ = leaves.predict_files(model, [Path(manifest.folder) / file for file in files])
    return [
        {"file": file, "label": a.label, "probability": a.probability, "known": a.known}
        for file, (_, a) in zip(files, answers, strict=True)
    ]


@st.cache_data(max_entries=128, show_spinner=False)
def _explain(name: str, stamp: int, file: str, label: str) -> tuple[np.ndarray, np.ndarray, float | None]:
    """A picture as the network sees it, its Grad-CAM for `label`, and the share of that off the leaf."""
    model, _ = models.load(name)
    folder = leaves.manifest_of(runs.Run(models.folder(name))).folder
    explanation = leaves.explain(model, guarded.read(Path(folder) / file), label)
    return explanation.shown, pictures.explained(explanation), explanation.outside


@st.cache_data(max_entries=16, show_spinner=False)
def _ground_bias(name: str, stamp: int, split: str) -> dict[str, Any]:
    model, _ = models.load(name)
    manifest = leaves.manifest_of(runs.Run(models.folder(name)))
    photos = manifest.of(split)
    photos = photos[:: -(-len(photos) // GROUND)]
    truth = np.array([photo.label for photo in photos])
    return leaves.ground_bias(model, manifest.folder, [photo.file for photo in photos], truth)


def show_summary(metrics: dict[str, Any]) -> None:
    low, high = metrics["accuracy_interval"]
    refused = {"Rejected": f"{metrics['refused']:.1%}"} if "refused" in metrics else {}
    show_metrics(
        {
            "Accuracy": f"{metrics['accuracy']:.1%}",
            "Macro-F1": f"{metrics['macro_f1']:.3f}",
            "Calibration error": f"{metrics['ece']:.3f}",
            **refused,
            "Pictures": f"{metrics['images']}",
        },
        {
            "Accuracy": f"95 %: {low:.1%} to {high:.1%}",
            "Macro-F1": "the mean over the classes",
            "Calibration error": "how far the stated probability is from the share that is right",
            "Rejected": "of these leaves, although it should know them",
            "Pictures": "never trained on",
        },
    )
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    offer("Measures", [{**numbers, "accuracy_low": low, "accuracy_high": high}], "measures", metrics)


def show_confusion(name: str, stamp: int, split: str, metrics: dict[str, Any]) -> None:
    """The confusion matrix, and the pictures of the chosen cell with their Grad-CAM."""
    classes, table = metrics["classes"], metrics["confusion"]
    cells = {
        f"{true} read as {predicted}": (true, predicted)
        for i, true in enumerate(classes)
        for j, predicted in enumerate(classes)
        if table[i][j]
    }
    wrong = [text for text, (true, predicted) in cells.items() if true != predicted]
    order = [*wrong, *(text for text in cells if text not in wrong)]

    def pick() -> None:
        """Select the clicked square in the list beside the matrix."""
        picked = st.session_state["leaf_squares"].selection.get("cell") or []
        text = f"{picked[0]['true']} read as {picked[0]['read']}" if picked else ""
        if text in cells:
            st.session_state["leaf_cell"] = text

    left, right = st.columns(2, gap="large")
    with left:
        st.header("What is read as what", anchor=False)
        chart = charts.confusion(table, st.context.theme.type == "dark", classes)
        st.altair_chart(chart, on_select=pick, key="leaf_squares", theme="streamlit")
        st.caption("Click a square to see its pictures. Red ones are wrong.")
        rows = [
            {"true class": t, **dict(zip(classes, n, strict=True))}
            for t, n in zip(classes, table, strict=True)
        ]
        offer("Confusion", rows, "confusion")
    with right:
        looked_at = st.session_state.get("leaf_cells_of")
        if st.session_state.get("leaf_cell") not in order or looked_at not in (None, (name, split)):
            st.session_state["leaf_cell"] = order[0]  # another table: its wrong squares come first
        st.session_state["leaf_cells_of"] = (name, split)
        chosen = str(st.selectbox("Pictures of", order, key="leaf_cell"))
        show_cell(name, stamp, split, *cells[chosen])


def show_cell(name: str, stamp: int, split: str, true: str, predicted: str) -> None:
    try:
        with st.spinner("Looking at the pictures of this class …"):
            answers = [a for a in _answers(name, stamp, split, true) if a["label"] == predicted]
            shown = [(a, *_explain(name, stamp, a["file"], predicted)) for a in answers[:SHOWN]]
    except (ValueError, OSError) as error:
        st.error(
            f"The pictures cannot be shown: {models.error_text(error)}", icon=":material/image_not_supported:"
        )
        return
    for answer, picture, overlay, outside in shown:
        known = "" if answer["known"] else "  \nrejected as unknown"
        text = f"{jobs.quoted(answer['file'])}  \n{answer['probability']:.1%} sure{known}"
        _show_pair(picture, overlay, outside, text, true, predicted)
    if len(answers) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(answers)}.")


def _show_pair(
    picture: np.ndarray, overlay: np.ndarray, outside: float | None, text: str, true: str, predicted: str
) -> None:
    """A picture, its Grad-CAM and a text about both."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.image(picture, width=PICTURE, alt=f"A leaf with {true}")
        st.image(overlay, width=PICTURE, alt=f"What decided for {predicted}, the leaf outlined in white")
        share = (
            ""
            if outside is None
            else f"  \n{outside:.0%} of the bright parts lie outside the leaf (white line)"
        )
        st.markdown(text + share, width=210)


def show_classes(metrics: dict[str, Any]) -> None:
    curves = metrics["precision_recall"]
    show_per_class(
        {
            name: {**row, "average precision": curves.get(name, {}).get("average_precision")}
            for name, row in metrics["per_class"].items()
        }
    )


def show_per_class(measures: dict[str, dict[str, Any]]) -> None:
    """A table of all classes, the weakest first."""
    st.header("Each class", anchor=False)
    rows = [{"class": name, **row} for name, row in sorted(measures.items(), key=lambda item: item[1]["f1"])]
    three = st.column_config.NumberColumn(format="%.3f")
    names = ("precision", "recall", "f1", "average precision")
    st.dataframe(rows, hide_index=True, column_config={n: three for n in names}, alt="Measures of each class")
    offer("Classes", rows, "classes")


def show_losses(name: str, stamp: int, metrics: dict[str, Any]) -> None:
    """The worst errors, with file names and the regions that misled the network."""
    st.header("Largest losses", anchor=False)
    rows = metrics["top_losses"]
    three = {n: st.column_config.NumberColumn(format="%.3f") for n in ("probability", "loss")}
    columns = {**three, "file": st.column_config.TextColumn(width=200)}
    st.dataframe(
        rows, hide_index=True, column_config=columns, height=245, alt="The pictures with the largest losses"
    )
    offer("Losses", rows, "losses")
    try:
        with st.spinner("Looking at the worst of them …"):
            shown = [(row, *_explain(name, stamp, row["file"], row["predicted"])) for row in rows[:WORST]]
    except (ValueError, OSError) as error:
        st.error(
            f"The pictures cannot be shown: {models.error_text(error)}", icon=":material/image_not_supported:"
        )
        return
    for row, picture, overlay, outside in shown:
        true, predicted = row["true"], row["predicted"]
        read = (
            "right, but unsure"
            if true == predicted
            else f"{jobs.quoted(true)} read as {jobs.quoted(predicted)}"
        )
        text = f"{jobs.quoted(row['file'])}  \n{read}, {row['probability']:.1%} sure, loss {row['loss']:.2f}"
        _show_pair(picture, overlay, outside, text, true, predicted)


def show_precision_recall(curves: dict[str, Any]) -> None:
    points = [
        {"class": name, "recall": recall, "precision": precision}
        for name, curve in curves.items()
        for recall, precision in zip(curve["recall"], curve["precision"], strict=True)
    ]
    charts.show(plots.precision_recall(curves), "leaf_pr", "Precision over recall, by class")
    offer("Points", points, "precision-recall")


def show_calibration(bins: list[dict[str, Any]]) -> None:
    charts.show(plots.reliability(bins), "leaf_reliability", "How often it is right, by how sure it is")
    offer("Calibration", bins, "calibration")


def show_ground(name: str, stamp: int, split: str) -> None:
    """The accuracy on backgrounds alone."""
    st.header("Does it look at the leaf?", anchor=False)
    st.caption(
        "The leaf is painted over and only the background is left. A classifier that is still right has "
        "learned where the pictures were taken, not what the leaves have."
    )
    key = f"ground_{name}_{split}"
    if st.button("Measure", icon=":material/landscape:", key="leaf_ground"):
        st.session_state[key] = True
    if not st.session_state.get(key):
        return
    try:
        with st.spinner("Measuring leaves without background, and background without leaves …"):
            bias = _ground_bias(name, stamp, split)
    except (ValueError, OSError) as error:
        st.error(models.error_text(error), icon=":material/error:")
        return
    ways = {
        "Whole picture": "whole",
        "Leaf only": "leaf_only",
        "Background only": "ground_only",
        "Chance": "chance",
        "Grad-CAM outside the leaf": "attention_outside",
    }
    show_metrics({title: f"{bias[way]:.1%}" for title, way in ways.items() if bias[way] is not None})
    if bias["ground_only"] > bias["chance"] + 0.2:
        st.warning(
            "It recognises much from the background alone: expect worse results on pictures from elsewhere.",
            icon=":material/warning:",
        )
    st.caption(f"Measured on {bias['images']} pictures.")
    offer("Ground", [bias], "ground")


def show_shipped(facts: dict[str, Any]) -> None:
    """The measured performance of the bundled classifier; its pictures are not part of the package."""
    metrics = facts["metrics"]["test"]
    show_summary(metrics)
    show_per_class(metrics["per_class"])
    st.info(
        "The pictures it was measured on are not part of vision-core. Train a classifier of your own to "
        "click through its mistakes, its calibration and what it looks at.",
        icon=":material/info:",
    )
    st.page_link("leaves/train.py", label="Train a leaf classifier", icon=":material/model_training:")


st.title("Look into a leaf classifier", anchor=False)
chosen = models.choose(taught=False)
if chosen and chosen[0] == models.SHIPPED:
    show_shipped(chosen[2])
elif chosen:
    name = chosen[0]
    stamp = (models.folder(name) / "model.safetensors").stat().st_mtime_ns
    split = str(
        st.segmented_control(
            "Measured on",
            list(SPLITS),
            default="test",
            format_func=SPLITS.__getitem__,
            key="leaf_split",
            required=True,
        )
    )
    try:
        metrics = models.report(runs.Run(models.folder(name)))[split]
    except (ValueError, OSError, KeyError, TypeError) as error:
        st.error(models.error_text(error), icon=":material/error:")
        st.stop()
    show_summary(metrics)
    show_confusion(name, stamp, split, metrics)
    left, right = st.columns(2, gap="large")
    with left:
        show_classes(metrics)
        show_precision_recall(metrics["precision_recall"])
        show_calibration(metrics["reliability"])
    with right:
        show_losses(name, stamp, metrics)
    show_ground(name, stamp, split)
