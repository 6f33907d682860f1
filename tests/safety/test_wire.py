"""Messages between processes give back what was sent; anything else is an error and never runs."""

import json
from io import BytesIO

import numpy as np
import pytest

from vision_core.pictures.images import Picture
from vision_core.safety import wire

RNG = np.random.default_rng(0)


def sent(value) -> bytes:
    pipe = BytesIO()
    wire.send(pipe, value)
    return pipe.getvalue()


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    return type(a) is type(b) and (same(vars(a), vars(b)) if isinstance(a, Picture) else a == b)


@pytest.mark.parametrize("kind", ["?", "B", "H", "i", "q", "e", "f", "d"])
def test_arrays_come_back(kind):
    for shape in ((), (0, 3), (5,), (4, 3, 2)):
        array = np.asarray(RNG.random(shape) * 100).astype(kind)
        assert same(wire.receive(BytesIO(sent(array))), array)
    assert same(wire.receive(BytesIO(sent(array[::2, :, 1]))), array[::2, :, 1])


def test_everything_plain_comes_back_in_its_order():
    rgb = RNG.integers(0, 256, (4, 5, 3), np.uint8)
    picture = Picture(rgb, exif={33432: "Zoë"}, dpi=(72.0, 72.0), icc=b"\0\1")
    value = [
        None,
        True,
        7,
        0.5,
        "ü\ud800",
        b"abc",
        (1, [2]),
        {"a": 1, 2: (3,)},
        picture,
        np.arange(3),
        b"",
        {},
    ]
    assert same(wire.receive(BytesIO(sent(value))), value)
    pipe = BytesIO(sent(value) + sent(np.float32(0.5)))
    wire.receive(pipe)
    assert same(wire.receive(pipe), 0.5)


def test_what_cannot_be_sent_is_an_error():
    for value in (object(), {1, 2}, np.array([object()]), np.array(["a"]), lambda: 0):
        with pytest.raises((TypeError, ValueError)):
            wire.receive(BytesIO(sent(value)))


STRANGE = [
    {"array": ["O", [1]]},
    {"array": ["f", [10**6, 10**6]]},
    {"array": ["f", [-1]]},
    {"array": ["f", [1.5]]},
    {"array": ["B", [0] * 9]},
    {"bytes": 2**40},
    {"dataclass": ["subprocess", "Popen", [["args", "true"]]]},
    {"dataclass": ["vision_core.pictures.images", "Image", []]},
    {"dataclass": ["vision_core.nothing", "X", []]},
    {"x": 1},
]


@pytest.mark.parametrize("plain", STRANGE)
def test_what_is_no_message_is_refused(plain):
    text = json.dumps(plain).encode()
    with pytest.raises((ValueError, EOFError)):
        wire.receive(BytesIO(len(text).to_bytes(4) + text + bytes(100)))


def test_half_messages_and_long_ones_are_refused():
    whole = sent([np.arange(9), b"abc", "text"])
    for length in range(len(whole)):
        with pytest.raises((EOFError, ValueError)):
            wire.receive(BytesIO(whole[:length]))
    with pytest.raises(ValueError, match="too long"):
        wire.receive(BytesIO(b"\xff" * 9))
