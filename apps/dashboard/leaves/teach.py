"""Teach a leaf classifier new classes from a few pictures each, for this visit alone."""

from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.leaves import models
from vision_core import checkpoints, leaves
from vision_core.pictures import images
from vision_core.safety import guarded, limits

MOST_CLASSES, MOST_PICTURES = 8, 30


def ask() -> dict[str, list[tuple[str, bytes]]]:
    """The files of each class by its name."""
    count = int(st.number_input("Classes", 2, MOST_CLASSES, 2, key="teach_count"))
    classes, pair = {}, []
    for n in range(1, count + 1):
        if n % 2:
            pair = st.columns(2, gap="large")
        place = pair[(n - 1) % 2]
        name = place.text_input(
            f"Name of class {n}", key=f"teach_name_{n}", placeholder="healthy" if n == 1 else ""
        )
        uploaded = place.file_uploader(
            f"Pictures of class {n}",
            type="image",
            accept_multiple_files=True,
            max_upload_size=max(1, limits.UPLOAD.value >> 20),
            key=f"teach_files_{n}",
            help=f"About ten, {MOST_PICTURES} at most: different leaves, in the light that you will ask in.",
        )
        classes[name.strip()] = [(file.name, file.getvalue()) for file in uploaded[:MOST_PICTURES]]
    return classes


def teach(classes: dict[str, list[tuple[str, bytes]]]) -> None:
    """Teach a classifier and keep it in the session.

    Raises:
        ValueError: a class has no name, a duplicate name, or too few readable pictures.
    """
    if "" in classes or any(set(name) & set("/\\\0") or name[0] == "." for name in classes):
        raise ValueError("each class needs its own name, without slashes")
    with TemporaryDirectory() as folder:
        for name, pictures in classes.items():
            (Path(folder) / name).mkdir()
            for number, (file, data) in enumerate(pictures):
                try:
                    picture = guarded.read(data, limits.UPLOAD_PIXELS.value)
                except ValueError as error:
                    raise ValueError(f"{file} of {name}: {error}") from error
                small = images.Picture(images.shrink(picture.rgb, 512))
                images.save(small, Path(folder) / name / f"{number}.png")
        model, facts = leaves.teach(folder)
        checkpoints.save(Path(folder) / "taught.safetensors", model, facts)
        data = (Path(folder) / "taught.safetensors").read_bytes()
    st.session_state[models.TAUGHT_KEY] = (model, facts, data)


def show() -> None:
    model, facts, data = st.session_state[models.TAUGHT_KEY]
    metrics = facts["metrics"]["left_out"]
    low, high = metrics["accuracy_interval"]
    st.success(
        f"Taught {len(model.classes)} classes from {metrics['images']} pictures. Tested on each picture "
        f"while it was left out: **{metrics['accuracy']:.0%} right** "
        f"(with 95% certainty {low:.0%} to {high:.0%}).",
        icon=":material/school:",
    )
    rows = [{"class": name, **row} for name, row in metrics["per_class"].items()]
    st.dataframe(rows, hide_index=True, alt="Measures of each class")
    st.page_link(
        "leaves/predict.py",
        label="Ask it about a leaf",
        icon=":material/photo_camera:",
        query_params={models.KEY: models.TAUGHT},
    )
    st.download_button(
        "Download it", data, "taught.safetensors", on_click="ignore", icon=":material/download:"
    )
    st.caption("It is kept as long as this page is open. `vision-core leaves predict --model` uses the file.")


st.title("Teach new classes", anchor=False)
st.caption(
    "About ten pictures per class are enough to start with. Twenty pictures take about half a minute, or a "
    "minute on a busy machine."
)
asked = ask()
pressed = st.button("Teach", type="primary", icon=":material/school:", key="teach", width="stretch")
answer = st.empty()  # one place: what Teach answered before goes at once
if pressed:
    st.session_state.pop(models.TAUGHT_KEY, None)
    try:
        with answer, st.spinner("Looking at the pictures …"):
            teach(asked)
    except (ValueError, OSError) as error:
        answer.error(jobs.sentence(error), icon=":material/block:")
if models.TAUGHT_KEY in st.session_state:
    with answer.container():
        show()
elif not pressed:
    answer.info("Name two or more classes and choose pictures of each, then press Teach.")
