"""Tests of recipes: round trips, and cheap rejection of hostile ones."""

import json
import tracemalloc
import zlib
from base64 import b64encode
from dataclasses import asdict, replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from vision_core import editing
from vision_core.editing import packed, recipe
from vision_core.editing.recipe import Recipe
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.safety.messages import LONGEST

HUGE = 4611686018427387904  # four of these are 0 in 64 bits
SIZES = {"strength": 0.5, "padding": 0.5, "feather": 1, "sides": [1, 2, 3, 4]}
GOOD = Recipe(
    "remove",
    "été 🌸",
    "a cat",
    seed=3,
    mask="2x3:1,2,3",
    box=(1, 2, 3, 4),
    versions={"torch": "2"},
    options={
        **SIZES,
        "colors": True,
        "poisson": False,
        "steps": 20,
        "guidance": 7.5,
        "negative": "",
        "anchors": 9,
        "max_window": 15,
    },
)


def refusal(call, *args) -> str:
    with pytest.raises(ValueError) as refused:
        call(*args)
    text = str(refused.value)
    assert len(text) <= LONGEST and text.isprintable()
    return text


@pytest.mark.parametrize("seed", range(5))
def test_packed_masks_come_back(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 30, 2)) < rng.random()
    assert (packed.unpack_mask(packed.pack_mask(mask)) == mask).all()


def test_run_lengths_are_read_as_they_are_written_down():
    result = packed.unpack_mask("2x3:1,2,0,0,3").astype(int).tolist()
    assert result == [[0, 1, 1], [0, 0, 0]] and packed.unpack_mask("1x2:0,2").all()


def bits(data: bytes) -> str:
    return b64encode(zlib.compress(data)).decode()


@pytest.mark.parametrize(
    "text",
    [
        *("", "3x3", "3x3:4", "3x3:-1,10", "99999x99999:1", "axb:1", "2x2:1,2,3", "2x2:", "2x2:,", "2x2:4,"),
        *(
            "0x5:",
            "2x-2:4",
            "2x2:1,,3",
            "2x2:10,-6",
            "２x2:4",
            "2x2:1e0,3",
            "1x1:" + "9" * 5000,
            "2x2:\x1b[31m",
        ),
        f"400x600:{HUGE},{HUGE},{HUGE},{HUGE},240000",
        *(f"4x6:{HUGE - 24},{HUGE},{HUGE},{HUGE},48", f"4x6:{2**63},{2**63},24", f"4x6:{2**64 + 24}"),
        f"4x6:{-(2**63)},{2**63 - 1},25",
        "4x6:" + "0," * 10_000_000 + "24",
        *(
            f"1x1:{bits(b'')}",
            f"1x1:{bits(bytes(2))}",
            f"9x9:{bits(bytes(10))}",
            f"8x8:{bits(bytes(8))[:-4]}",
        ),
        *(
            f"8x8:{bits(bytes(2**26))}",
            "8x8:////",
            "8x8:" + "A" * 10**6,
            "10000x5001:" + bits(bytes(6251250)),
        ),
    ],
    ids=lambda text: text[:24].encode("unicode_escape").decode(),
)
def test_masks_that_are_none_are_refused_before_they_cost_anything(text):
    tracemalloc.start()
    message = refusal(packed.unpack_mask, text)
    assert message.startswith("the mask of the recipe is damaged: ")
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


def test_a_random_mask_of_20_megapixels_comes_back_from_png_and_json(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.unpackbits(np.frombuffer(rng.bytes(20_000_000 // 8), np.uint8)).reshape(4000, 5000).astype(bool)
    stored = replace(GOOD, mask=packed.pack_mask(mask))
    recipe.save(Picture(np.zeros((4, 5, 3), np.uint8)), stored, tmp_path / "a.png")
    (tmp_path / "a.json").write_text(recipe.to_json(stored))
    assert (tmp_path / "a.png").stat().st_size < 2_600_000 and images.read(tmp_path / "a.png").rgb.shape == (
        4,
        5,
        3,
    )
    for name in ("a.png", "a.json"):
        assert recipe.read(tmp_path / name) == stored
    assert (packed.unpack_mask(stored.mask) == mask).all()


def test_a_recipe_travels_in_the_png(tmp_path):
    picture = Picture(np.zeros((4, 5, 3), np.uint8), alpha=np.full((4, 5), 9, np.uint8), dpi=(72.0, 72.0))
    stored = replace(GOOD, mask=packed.pack_mask(np.eye(4, 5) > 0))
    recipe.save(picture, stored, tmp_path / "a.png")
    assert recipe.read(tmp_path / "a.png") == stored
    back = images.read(tmp_path / "a.png")
    assert (back.rgb == picture.rgb).all() and (back.alpha == 9).all()


def test_run_lengths_go_into_the_png_as_bits(tmp_path):
    recipe.save(Picture(np.zeros((2, 3, 3), np.uint8)), GOOD, tmp_path / "a.png")
    assert (packed.unpack_mask(recipe.read(tmp_path / "a.png").mask) == packed.unpack_mask(GOOD.mask)).all()


def test_a_recipe_is_read_from_its_chunks_alone(tmp_path):
    recipe.save(Picture(np.zeros((4, 5, 3), np.uint8)), replace(GOOD, mask=""), tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    at = data.index(b"IDAT")
    (tmp_path / "a.png").write_bytes(data[: at + 4] + b"\xff" * 8 + data[at + 12 :])
    assert recipe.read(tmp_path / "a.png").prompt == GOOD.prompt


def with_text(text: str, zip: bool = True) -> bytes:
    info, buffer = PngImagePlugin.PngInfo(), BytesIO()
    info.add_itxt(recipe.KEY, text, zip=zip)
    Image.new("RGB", (2, 2)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"task": 3}',
        json.dumps({"task": "x"}),
        "null",
        "[" * 100_000,
        '{"a":' * 100_000,
        " " * 2**25,
    ],
)
def test_texts_that_are_no_recipe_are_one_sentence(tmp_path, text):
    (tmp_path / "a.png").write_bytes(with_text(text))
    (tmp_path / "a.json").write_text(text)
    assert "recipe in" in refusal(recipe.read, tmp_path / "a.png") and refusal(
        recipe.read, tmp_path / "a.json"
    )


def test_other_files_hold_no_recipe(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "b.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "b.jpg")
    for name in ("b.png", "b.jpg"):
        assert "holds no recipe" in refusal(recipe.read, tmp_path / name)
    assert "there is no file" in refusal(recipe.read, tmp_path / "none.png")


def test_damaged_chunks_are_one_sentence(tmp_path):
    whole, path = with_text(json.dumps(asdict(replace(GOOD, mask="")))), tmp_path / "a.png"
    at = whole.index(b"iTXt")
    for data in (
        whole[: at + 30],
        whole[: at - 4] + b"\xff\xff\xff\xff" + whole[at:],
        whole[: at - 4] + b"\x7f\xff\xff\xff" + whole[at:],
        whole[: at + 40] + b"\0\0" + whole[at + 42 :],
        with_text("x", zip=False).replace(b"\0\0\0\0\0x", b"\0\x01\0\0\0x"),
    ):
        path.write_bytes(data)
        assert "damaged" in refusal(recipe.read, path)


STEERS = "\x1b[31m\u202e"
ODD = (None, True, -1, 10**400, float("nan"), float("inf"), 1e308, "x" * 20_000, [[1]], {}, [], STEERS, 2**64)
FITS = {  # odd values that a field may have
    **dict.fromkeys(("task", "prompt", "caption", "backend", "negative", "torch"), (STEERS,)),
    "mask": ("x" * 20_000, STEERS),
    "box": (None,),
    "options": ({},),
    "versions": ({},),
    "colors": (True,),
    "poisson": (True,),
}


def test_every_field_and_every_number_has_bounds(tmp_path):
    """Each value in turn is replaced by each odd one: refused by its name, or a value that it may have."""
    path = tmp_path / "a.json"
    plain = json.loads(json.dumps(asdict(GOOD)))
    places = [(plain, name) for name in plain]
    places += [(plain[part], name) for part in ("options", "versions") for name in plain[part]]
    places += [(row, at) for row in (plain["box"], plain["options"]["sides"]) for at in range(4)]
    for place, name in places:
        for odd in ODD:
            good, place[name] = place[name], odd
            path.write_text(json.dumps(plain))
            place[name] = good
            if any(type(odd) is type(fit) and odd == fit for fit in FITS.get(str(name), ())):
                recipe.read(path)
            else:
                assert str(path) in refusal(recipe.read, path)
    plain["options"]["other"] = 1
    path.write_text(json.dumps(plain))
    assert "'other'" in refusal(recipe.read, path)


@pytest.mark.parametrize(
    "sides", [[9_999_999_999, 0, 0, 0], [100_001, 0, 0, 0], [30_000] * 4, [0, 0, 0, 99_999]]
)
def test_sides_that_make_too_large_a_picture_are_refused_with_the_numbers(sides):
    picture = Picture(np.zeros((400, 600, 3), np.uint8))
    large = Recipe("extend", options={"sides": sides})
    assert "are accepted (VISION_CORE_MAX_" in refusal(lambda: list(editing.repeat(picture, large)))


def test_what_is_extended_to_the_limit_is_extended(monkeypatch):
    monkeypatch.setenv("VISION_CORE_MAX_PIXELS", "1000")
    picture = Picture(np.zeros((20, 30, 3), np.uint8))
    result = list(editing.repeat(picture, Recipe("extend", options={"sides": [0, 5, 10, 0]})))[-1]
    assert result.result.picture.rgb.shape == (25, 40, 3)
    message = refusal(
        lambda: list(editing.repeat(picture, Recipe("extend", options={"sides": [0, 5, 11, 0]})))
    )
    assert message.startswith("the extended picture has 41 x 25 pixels")
