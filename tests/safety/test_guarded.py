"""Tests of the sandboxed process: same pictures, no harm to this process."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import psutil
import pytest
from PIL import Image

from vision_core.editing import packed, recipe
from vision_core.editing.recipe import Recipe
from vision_core.pictures import icc, images
from vision_core.pictures.images import Picture, encode
from vision_core.safety import guarded, limits

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (37, 53, 3), np.uint8)


def file_of(image: Image.Image, format: str, **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def files() -> dict[str, bytes]:
    alpha, exif = RNG.integers(0, 255, (37, 53), np.uint8), {0x8298: "© Zoë"}
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "lime")]
    return {
        "everything": encode(Picture(COLORS, alpha, icc.srgb_profile(), (300, 300), exif), "TIFF"),
        "nothing": file_of(Image.fromarray(COLORS), "BMP"),
        "notes": file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "16 bits": file_of(Image.fromarray(COLORS[..., 0].astype(np.uint16) * 257), "PNG"),
        "AVIF": file_of(Image.fromarray(COLORS), "AVIF"),
    }


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A grey JPEG of 49 megapixels and 26 scans that takes a second."""
    data = file_of(Image.new("L", (7000, 7000), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 20 + data[-2:]


@pytest.mark.parametrize("kind", files())
def test_the_same_picture_as_in_this_process(tmp_path, kind):
    data = files()[kind]
    (tmp_path / "picture").write_bytes(data)
    expected = images.read(data)
    for source in (data, tmp_path / "picture", str(tmp_path / "picture")):
        decoded = guarded.read(source)
        assert np.array_equal(decoded.rgb, expected.rgb)
        assert (decoded.alpha is None) == (expected.alpha is None)
        assert decoded.alpha is None or np.array_equal(decoded.alpha, expected.alpha)
        assert (decoded.wide is None) == (expected.wide is None)
        assert decoded.wide is None or np.array_equal(decoded.wide, expected.wide)
        for name in ("icc", "dpi", "exif", "bit_depth", "notes", "kind", "xmp"):
            assert getattr(decoded, name) == getattr(expected, name)
    decoded.rgb[:] = 0  # as with `images.read`, the array is the caller's


def test_what_libtiff_says_by_itself_is_not_seen(capfd):
    """In this process as in a worker, which may open no file for writing."""
    damaged = bytearray(file_of(Image.fromarray(COLORS), "TIFF", compression="tiff_lzw"))
    damaged[60:90] = b"\xff" * 30
    guarded._end_idle()  # the worker writes to the standard error that it was started with
    for read in (images.read, guarded.read):
        with pytest.raises(ValueError, match="damaged or cut off"):
            read(bytes(damaged))
    guarded._end_idle()
    assert capfd.readouterr().err == ""


def test_the_same_sentences_as_in_this_process(tmp_path):
    for source in (b"", b"hello", encode(Picture(COLORS))[:500], tmp_path, tmp_path / "missing.png"):
        with pytest.raises(ValueError) as expected:
            images.read(source)
        with pytest.raises(ValueError) as error:
            guarded.read(source)
        assert str(error.value) == str(expected.value)
    with pytest.raises(ValueError, match=r"53 x 37 pixels, .* at most 0\.001 are accepted"):
        guarded.read(encode(Picture(COLORS)), max_pixels=1000)


def workers() -> set[int]:
    return {
        child.pid
        for child in psutil.Process().children()
        if "vision_core.safety.guarded_worker" in child.cmdline()
    }


def test_one_worker_reads_many_pictures_and_is_replaced_when_it_is_killed():
    guarded.read(encode(Picture(COLORS)))
    before = workers()
    guarded.read(encode(Picture(COLORS)))
    assert workers() == before and before
    for pid in before:
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)], timeout=10)
    assert np.array_equal(guarded.read(encode(Picture(COLORS))).rgb, COLORS)
    assert not workers() & before


def test_a_slow_picture_is_given_up(slow):
    guarded.read(encode(Picture(COLORS)))
    with pytest.raises(ValueError, match=r"the image takes longer than 0\.3 s to open"):
        guarded.read(slow, seconds=0.3)
    assert np.array_equal(guarded.read(encode(Picture(COLORS))).rgb, COLORS)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS enforces no limit of address space")
def test_a_greedy_picture_is_given_up():
    """A TIFF of 20 MB whose 500 tags all point at its whole content."""
    shape = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 1}
    size = 20 << 20
    tags = [(tag, 3, 1, value) for tag, value in shape.items()]
    tags += [(40_000 + tag, 7, size, 8) for tag in range(500)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    with pytest.raises(ValueError, match="the image needs more memory than there is"):
        guarded.read(
            (struct.pack("<2sHIH", b"II", 42, 10, 0) + directory).ljust(size + 8), max_pixels=1_000_000
        )
    assert np.array_equal(guarded.read(encode(Picture(COLORS))).rgb, COLORS)


def test_a_crash_is_one_sentence(slow):
    guarded.read(encode(Picture(COLORS)))
    crash = threading.Timer(0.5, lambda: [os.kill(pid, signal.SIGSEGV) for pid in workers()])
    crash.start()
    with pytest.raises(ValueError, match="the image cannot be opened: its decoder crashed"):
        guarded.read(slow)
    crash.join()


def test_every_thread_gets_its_own_picture():
    pictures = [RNG.integers(0, 256, (50 + n, 70, 3), np.uint8) for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        result = list(pool.map(guarded.read, [encode(Picture(rgb)) for rgb in pictures]))
    for rgb, picture in zip(pictures, result, strict=True):
        assert np.array_equal(picture.rgb, rgb)
    assert len(workers()) <= limits.DECODERS.value


def test_any_reader_of_ours_can_be_called_there(tmp_path):
    mask = RNG.random((20, 30)) < 0.5
    created = Recipe("remove", "é", mask=packed.pack_mask(mask), box=(1, 2, 3, 4), options={"strength": 0.5})
    recipe.save(Picture(COLORS), created, tmp_path / "a.png")
    assert guarded.call(recipe.read, tmp_path / "a.png") == created
    with pytest.raises(ValueError, match=r"b\.png holds no recipe"):
        images.save(Picture(COLORS), tmp_path / "b.png")
        guarded.call(recipe.read, tmp_path / "b.png")


def test_what_a_reader_asks_for_is_bounded(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    for harm, sentence in ((greedy, "needs more memory than there is"), (broken, "is damaged: KeyError")):
        with pytest.raises(ValueError, match=sentence):
            guarded.call(harm, tmp_path / "a")
    with pytest.raises(ValueError, match=r"a takes longer than 0\.5 s to open"):
        guarded.call(endless, tmp_path / "a", seconds=0.5)
    with pytest.raises(ValueError, match=r"a cannot be opened: its decoder crashed"):
        guarded.call(crash, tmp_path / "a")
    assert guarded.read(encode(Picture(COLORS))).rgb.shape == COLORS.shape


def greedy(path):
    return np.ones(10**10)


def broken(path):
    return {}["x"]


def endless(path):
    while True:
        time.sleep(0.1)


def crash(path):
    os.abort()


def attempts(path) -> dict[str, str]:
    """Attempts of a compromised decoder."""
    folder = path.parent
    tries = {
        "network": socket.socket,
        "local socket": lambda: socket.socket(socket.AF_UNIX),
        "pair": socket.socketpair,
        "fork": os.fork,
        "command": lambda: os.execv("/bin/true", ["true"]),
        "kill": lambda: os.kill(os.getppid(), 0),
        "write": lambda: (folder / "new").write_bytes(b"x"),
        "append": lambda: open(path, "ab"),
        "remove": path.unlink,
        "rename": lambda: path.rename(folder / "other"),
        "folder": lambda: (folder / "more").mkdir(),
        "link": lambda: (folder / "link").symlink_to("/etc"),
        "truncate": lambda: os.truncate(path, 0),
        "thread": lambda: ThreadPoolExecutor(2).submit(int, "1").result(),
        "read": path.read_bytes,
    }
    outcomes = {}
    for name, attempt in tries.items():
        try:
            attempt()
            outcomes[name] = "worked"
        except PermissionError:
            outcomes[name] = "refused"
    return outcomes


@pytest.mark.skipif(sys.platform != "linux", reason="seccomp and Landlock are Linux's")
def test_a_taken_over_decoder_has_no_network_no_processes_and_writes_nothing(tmp_path):
    code = "from vision_core.safety.confined import confine; print(*confine())"
    held = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    if "network" not in held:
        pytest.skip("this kernel has no seccomp")
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    outcomes = guarded.call(attempts, path)
    assert outcomes.pop("thread") == outcomes.pop("read") == "worked"
    if "writing" not in held:
        outcomes = {name: outcomes[name] for name in list(outcomes)[:6]}
    assert set(outcomes.values()) == {"refused"}, outcomes
    assert path.read_bytes() == b"abc" and [*tmp_path.iterdir()] == [path]
    socket.socket().close()  # this process has given up nothing


@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), 9)"])
def test_the_worker_ends_with_its_server(tmp_path, end):
    (tmp_path / "x.png").write_bytes(encode(Picture(COLORS)))
    code = f"""
import os, sys
from vision_core.safety import guarded
guarded.read(sys.argv[1])
print(guarded._idle[0].pid, flush=True)
{end}
"""
    process = subprocess.run([sys.executable, "-c", code, tmp_path / "x.png"], capture_output=True, text=True)
    assert process.stderr == ""
    pid = int(process.stdout)
    if psutil.pid_exists(pid):
        assert psutil.wait_procs([psutil.Process(pid)], timeout=20)[0]
