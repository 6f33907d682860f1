"""Classify pictures of leaves: the answer with its explanation, or a refusal."""

from dataclasses import asdict, replace

import streamlit as st

from apps.dashboard import jobs
from apps.dashboard.leaves import models, pictures
from apps.dashboard.tables import offer
from vision_core import leaves
from vision_core.files import bundled
from vision_core.leaves import cards, files
from vision_core.leaves.generate import CLASSES, leaf
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.safety import guarded, limits

PHOTOS = {"no leaf: a cat": "color/cat.jpg"}
DRAWN = {f"a drawn leaf: {name}": name for name in CLASSES}
WAYS = ("Upload", "Camera", "Example")
MANY = 100  # pictures at once


def ask(shipped: bool) -> list[tuple[str, Picture]]:
    """The chosen pictures with their names; an unreadable one is reported and left out.

    Args:
        shipped: whether the shipped classifier answers, which knows only photographs.
    """
    way = st.segmented_control("Picture", WAYS, default=WAYS[0], key="leaf_way", required=True)
    if way == "Example":
        label = "Example" + " of what it does not know" * shipped
        name = str(st.selectbox(label, [*DRAWN, *PHOTOS], key="leaf_example"))
        return [(name, _example(name))]
    if way == "Upload":
        uploaded = st.file_uploader(
            "Pictures of leaves",
            type="image",
            accept_multiple_files=True,
            max_upload_size=max(1, limits.UPLOAD.value >> 20),
            key="leaf_file",
            help=f"Up to {MANY} at once.",
        )
    else:
        taken = st.camera_input("A photograph of one leaf", key="leaf_camera")
        uploaded = [] if taken is None else [taken]
    if not uploaded:
        st.info(
            "One leaf that fills most of the picture works best. Your pictures stay in this session's memory."
        )
    if len(uploaded) > MANY:
        st.warning(f"The first {MANY} of {len(uploaded)} are answered.", icon=":material/filter_list:")
    photos = []
    for file in uploaded[:MANY]:
        try:
            photos.append((file.name, guarded.read(file.getvalue(), limits.UPLOAD_PIXELS.value)))
        except ValueError as error:
            st.error(f"{jobs.quoted(file.name)}: {error}", icon=":material/broken_image:")
    return photos


@st.cache_data(show_spinner=False)
def _example(name: str) -> Picture:
    if name in PHOTOS:
        return guarded.read(bundled("assets") / PHOTOS[name])
    return Picture(leaf(DRAWN[name], 1_000_007, 256)[0])  # a seed that no data set uses


def show(seen: leaves.Look, why: leaves.Explanation, picture: Picture, name: str) -> None:
    """Show advice, the answer for each leaf or the refusal, the probabilities and the Grad-CAM."""
    for sentence in seen.advice:
        st.info(sentence, icon=":material/tips_and_updates:")
    several = len(seen.leaves) > 1
    for number, one in enumerate(seen.leaves, 1):
        _show_answer(one, f"Leaf {number}: " if several else "")
    answer = seen.leaves[0].answer
    left, right = st.columns(2)
    marked = cards.marked(images.shrink(picture.rgb, 640), seen)
    measured = any(one.ill is not None for one in seen.leaves)  # else the leaf's outline is unsure
    caption = "The picture" + "; discoloured parts are pink" * measured
    left.image(marked, caption, width="stretch", alt="The picture, marked")
    cam = "Grad-CAM: the bright parts decided the answer"
    if why.outside is not None:
        cam += f"; {why.outside:.0%} lie outside the leaf (white line)"
    right.image(pictures.explained(why), cam, width="stretch", alt="Its Grad-CAM, the leaf outlined in white")
    rows = [
        {"class": label, "probability": share}
        for label, share in sorted(answer.probabilities.items(), key=lambda row: -row[1])
    ]
    bar = st.column_config.ProgressColumn(format="percent", min_value=0, max_value=1)
    st.dataframe(rows, hide_index=True, alt="Probability of each class", column_config={"probability": bar})
    st.caption(f"Out-of-distribution score: {answer.ood_score:.2f}. Above 1, the picture is rejected.")
    card = Picture(cards.card(images.shrink(picture.rgb, 960), seen, name, why.overlay))
    st.download_button(
        "Save as one picture",
        images.encode(card, "PNG"),
        "leaf.png",
        on_click="ignore",
        icon=":material/image:",
    )
    table = [{"file": name, "known": answer.known, **row} for row in rows]  # the table lists refusals, too
    offer("Answer", table, "prediction", {"file": name, **asdict(answer), "outside": why.outside})


def _show_answer(one: leaves.LeafSeen, lead: str) -> None:
    answer = one.answer
    if not answer.known:
        st.warning(
            f"**{lead}This does not look like a leaf I know.** "
            f"Closest would be {_plain(answer.label)} ({answer.probability:.1%}); do not rely on it.",
            icon=":material/help:",
        )
        return
    species = next(iter(answer.species), None)
    sure = f" (species {_plain(species)}: {answer.species[species]:.1%})" if species else ""
    ill = "" if one.ill is None else f"  \n{one.ill:.0%} of the leaf is discoloured."
    text = f"**{lead}{_plain(answer.label)}**, {answer.probability:.1%}{sure}{ill}"
    st.success(text, icon=":material/eco:")


def _plain(label: str) -> str:
    """The name of a class with its markup escaped."""
    name = leaves.plain_name(label)
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+-.!|~:$" else c for c in name)


def show_many(looks: list[tuple[str, leaves.Look]], pictures: list[Picture]) -> None:
    """A table of all answers, refusals included, and a contact sheet."""
    rows = files.rows(looks)
    refused = sum(not row["known"] for row in rows)
    st.header(f"{len(looks)} pictures, {len(rows)} leaves, {refused} not known", anchor=False)
    named = [
        {**row, **{key: leaves.plain_name(row[key]) for key in ("answer", "closest") if row[key]}}
        for row in rows
    ]
    share = st.column_config.NumberColumn(format="percent")
    st.dataframe(named, hide_index=True, alt="The answer to each leaf", column_config={"probability": share})
    small = [images.shrink(picture.rgb, cards.TILE) for picture in pictures]
    sheet = cards.sheet([(name, rgb, seen) for (name, seen), rgb in zip(looks, small, strict=True)])
    st.image(sheet, "Contact sheet", alt="All pictures with their answers")
    st.download_button(
        "Save the contact sheet",
        images.encode(Picture(sheet), "PNG"),
        "leaves.png",
        on_click="ignore",
        icon=":material/grid_view:",
    )
    offer("Answers", rows, "prediction")


st.title("Ask about leaves", anchor=False)
side, main = st.columns([1, 2], gap="large")
with side:
    chosen = models.choose()
    asked = ask(chosen[0] == models.SHIPPED) if chosen else []
with main:
    if chosen and asked:
        model = chosen[1]
        label = "the answer"
        if len(asked) == 1:
            label = st.selectbox(
                "Explain",
                ["the answer", *model.classes],
                key="leaf_why",
                help="Choose another class to see which parts speak for that one.",
            )
        unknown = asked[0][0] in DRAWN and chosen[0] == models.SHIPPED
        if unknown:
            st.info(
                "This leaf is drawn, and the shipped classifier is meant to reject it: it knows photographs "
                "of apple, bean, black gram, blueberry, citrus, grape and strawberry leaves. Upload one of "
                "these, or train a classifier on drawn leaves on the Train page."
            )
        place = st.empty()  # an older answer must not stand under a new picture's name
        with place.container():
            bar = st.progress(0.0, "Looking …")
            looks, why = [], None
            for number, (name, picture) in enumerate(asked):
                bar.progress(number / len(asked), f"Looking at {name}: {number + 1} of {len(asked)}")
                looks.append((name, leaves.look(model, [picture])[0]))
            if len(asked) == 1:
                why = leaves.explain(model, asked[0][1], label if label in model.classes else None)
        with place.container():
            if why is not None:
                seen = replace(looks[0][1], advice=()) if unknown else looks[0][1]  # it is no bad photograph
                show(seen, why, asked[0][1], asked[0][0])
            else:
                show_many(looks, [picture for _, picture in asked])
