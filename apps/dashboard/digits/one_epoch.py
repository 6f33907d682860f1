"""One epoch of a training: metrics, misclassified images, weights."""

import numpy as np
import streamlit as st
from PIL import Image

from apps.dashboard import charts
from apps.dashboard.digits import sources
from vision_core.digits.packed import decode_images

ALL = "all mistakes"


@st.fragment
def show_epoch(source: sources.Source) -> None:
    """Show the metrics, misclassified images and weights of one epoch."""
    names = source.names
    epoch = names[0]
    if len(names) > 1:
        chosen = st.select_slider(
            "Epoch, or batch of the first epoch",
            names,
            names[-1],
            key="epoch",
            bind="query-params",
            persist_state="page",
        )
        epoch = str(chosen)
    entry = names.index(epoch)
    record = source.epochs[entry]
    before = source.epochs[max(0, entry - 1)]
    worst = int(np.argmin(record["per_class"]))
    with st.container(horizontal=True):
        for title, value, gained in (
            ("Test accuracy", f"{record['test_accuracy']:.1%}", _gain(before, record, "test_accuracy")),
            ("Validation accuracy", f"{record['val_accuracy']:.1%}", _gain(before, record, "val_accuracy")),
            ("Validation loss", f"{record['val_loss']:.3f}", None),
            ("Hardest digit", f"{worst}  ({record['per_class'][worst]:.0%})", None),
        ):
            st.metric(title, value, gained, border=True, height="stretch")
    left, right = st.columns(2, gap="large")
    with left:
        st.header("Confusion matrix", anchor=False, help="Click a square to see the images.")
        st.altair_chart(
            charts.confusion(record["confusion"], st.context.theme.type == "dark"),
            key="squares",
            on_select=_pick,
            width="stretch",
            alt=f"Confusion of the ten digits after epoch {epoch}",
        )
    with right:
        show_misread(source, entry)
    show_weights(source, entry, epoch)


def _gain(before: dict, now: dict, key: str) -> str | None:
    """Change in percentage points since the previous epoch; None if there is none."""
    points = round((now[key] - before[key]) * 100, 1)
    return f"{points:+.1f} points" if points else None


def _pick() -> None:
    """Select the clicked square in the list of mistakes."""
    cells = st.session_state["squares"].selection.get("cell") or []
    wrong = cells and cells[0]["true"] != cells[0]["read"]
    st.session_state["mistake"] = f"{cells[0]['true']} read as {cells[0]['read']}" if wrong else ALL


def show_misread(source: sources.Source, entry: int) -> None:
    """Show the stored images that this epoch misclassifies, all or those of one kind."""
    st.header("Misread digits", anchor=False)
    table = source.epochs[entry]["confusion"]
    wrong = {(t, p): table[t][p] for t in range(10) for p in range(10) if t != p and table[t][p]}
    cells = {f"{t} read as {p}": (t, p) for t, p in sorted(wrong, key=lambda cell: -wrong[cell])}
    if st.session_state.get("mistake", ALL) not in (ALL, *cells):
        picked = st.session_state.pop("mistake")
        st.info(f"No {picked} in this epoch.")
    chosen = st.selectbox(
        "Mistake",
        [ALL, *cells],
        key="mistake",
        label_visibility="collapsed",
        format_func=lambda name: f"{name} ({wrong[cells[name]] if name in cells else sum(wrong.values())})",
    )
    images, captions = [], []
    for item in source.export.index["misread"]:
        predicted = item["predicted"][entry]
        if predicted != item["true"] and chosen in (ALL, f"{item['true']} read as {predicted}"):
            images.append(enlarged(decode_images(item["image"])[0]))
            captions.append(f"{item['true']}, read as {predicted}")
    if images:
        with st.container(horizontal=True, gap="small"):
            for image, caption in zip(images, captions, strict=True):
                st.image(image, caption, width=76, output_format="PNG", alt=f"A handwritten {caption}")
    else:
        st.info("None of these images is stored in the export.", icon=":material/image_not_supported:")
    st.caption("An export stores at most 24 images that its last epoch misreads.")


def enlarged(image: np.ndarray) -> Image.Image:
    """Enlarge an image, uint8 (28, 28), four times without smoothing."""
    return Image.fromarray(image).resize((112, 112), Image.Resampling.NEAREST)


def show_weights(source: sources.Source, entry: int, epoch: str) -> None:
    """Show statistics of each tensor, and a histogram of one."""
    st.header("Weights", anchor=False)
    rows = sources.weight_statistics(source, entry)
    left, right = st.columns([3, 2], gap="large")
    with left:
        four = {name: st.column_config.NumberColumn(format="%.4f") for name in ("mean", "std", "norm")}
        change = st.column_config.NumberColumn(
            "L2 change", format="%.4f", help="L2 distance from the same tensor one whole epoch earlier"
        )
        st.dataframe(
            rows,
            hide_index=True,
            column_config={**four, "norm": {**four["norm"], "label": "L2 norm"}, "change": change},
            alt=f"Statistics of the weights after epoch {epoch}",
        )
    with right:
        largest = max(range(len(rows)), key=lambda i: rows[i]["numbers"])
        name = str(st.selectbox("Tensor", [row["tensor"] for row in rows], index=largest))
        now, first = source.export.weights(entry)[name], source.export.weights(0)[name]
        alt = f"Histogram of the weights of {name} after epoch {epoch} and before training"
        charts.show(charts.histogram(now, first, name, epoch), "histogram", alt)
