"""Batches: names that cannot collide, originals that stay, and one bad file that ends nothing."""

import errno
import os
from pathlib import Path

import pytest

from vision_core import batch


@pytest.fixture(autouse=True)
def shelf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.png", "a/x.gif", "a/notes.txt", "b/x.png", "b/X.PNG", "b/y.avif"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    Path("empty").mkdir()


def names(targets: dict[Path, Path]) -> dict[str, str]:
    return {str(source): str(target) for source, target in targets.items()}


def test_the_pictures_of_folders_in_order_each_once():
    found = batch.pictures([Path("b/y.avif"), Path("a"), Path("b"), Path("missing.png")])
    assert [str(path) for path in found] == [
        "b/y.avif",
        "a/x.gif",
        "a/x.png",
        "b/X.PNG",
        "b/x.png",
        "missing.png",
    ]
    with pytest.raises(ValueError, match="no images in the folder empty"):
        batch.pictures([Path("a"), Path("empty")])


def test_no_two_pictures_have_one_target_on_any_file_system():
    found = names(batch.targets([Path("a"), Path("b")], Path("out")))
    assert found == {
        "a/x.gif": "out/x.png",
        "a/x.png": "out/x-2.png",
        "b/X.PNG": "out/X-3.png",
        "b/x.png": "out/x-4.png",
        "b/y.avif": "out/y.png",
    }
    Path("out").mkdir()
    Path("out/x.png").touch()
    assert names(batch.targets([Path("a"), Path("b")], Path("out"))) == found  # a second call writes the same
    assert names(batch.targets([Path("a/x.png")], Path("z.jpg"))) == {"a/x.png": "z.jpg"}


def test_originals_are_never_replaced():
    os.link("a/x.png", "linked.png")
    for sources, out in (
        (["a"], "a"),
        (["a/x.png"], "a/x.png"),
        (["a/x.png"], "linked.png"),
        (["b/x.png"], "./b"),
    ):
        with pytest.raises(ValueError, match="would replace one of the pictures"):
            batch.targets([Path(source) for source in sources], Path(out))
    for sources in (["a/x.png", "b/x.png"], ["a"]):
        with pytest.raises(ValueError, match=r"--out is one file, z\.png"):
            batch.targets([Path(source) for source in sources], Path("z.png"))


def test_one_bad_item_does_not_end_the_others():
    def act(path: str) -> int:
        return len(Path(path).read_text()) if path != "odd" else int(path)

    outcomes = list(batch.each(["a/x.png", "odd", "missing", "a", "b/x.png"], act))
    assert [done.item for done in outcomes] == ["a/x.png", "odd", "missing", "a", "b/x.png"]
    assert [done.result for done in outcomes] == [7, None, None, None, 7]
    assert [done.error for done in outcomes] == [
        "",
        "invalid literal for int() with base 10: 'odd'",
        "missing: No such file or directory",
        "a: Is a directory",
        "",
    ]


def test_a_full_disk_and_a_bug_end_the_batch():
    for error in (OSError(errno.ENOSPC, "No space left on device", "out"), TypeError("a bug")):
        done = []

        def act(item: int, error: Exception = error, done: list[int] = done) -> None:
            done.append(item)
            raise error

        with pytest.raises(type(error)):
            list(batch.each([1, 2, 3], act))
        assert done == [1]
