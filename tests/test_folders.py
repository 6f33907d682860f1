"""Tests of batches: unique names, untouched originals, bad files."""

import errno
import os
from pathlib import Path

import pytest

from vision_core import folders


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
    result = folders.find([Path("b/y.avif"), Path("a"), Path("b"), Path("missing.png")])
    assert [str(path) for path, _ in result.files] == [
        "b/y.avif",
        "a/x.gif",
        "a/x.png",
        "b/X.PNG",
        "b/x.png",
        "missing.png",
    ]
    assert result.notes == ["1 file was skipped, not a picture format: notes.txt"]
    with pytest.raises(ValueError, match="no images in the folder empty"):
        folders.find([Path("a"), Path("empty")])


def test_a_folder_as_phones_computers_and_servers_leave_it():
    """Every ending that is read, subfolders too; what systems write beside is not counted, the rest named."""
    endings = [".JPG", ".jfif", ".jpe", ".mpo", ".dib", ".webp", ".tif", ".gif", ".heic", ".avif", ".apng"]
    pictures = [f"in/IMG{n}{ending}" for n, ending in enumerate(endings)] + [
        "in/sub/IMG1.jpg",
        "in/sub/deep/IMG1.jpg",
    ]
    system = [
        "in/._IMG0.JPG",
        "in/.DS_Store",
        "in/Thumbs.db",
        "in/desktop.ini",
        "in/sub/@eaDir/IMG1.jpg",
        "in/__MACOSX/IMG0.JPG",
        "in/.thumbnails/1.png",
    ]
    others = ["in/a.txt", "in/b.NEF", "in/c.mov", "in/sub/d.pdf"]
    for name in (*pictures, *system, *others):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("in/loop").symlink_to("../in", target_is_directory=True)
    result = folders.find([Path("in")])
    assert sorted(str(path) for path, _ in result.files) == sorted(pictures)
    assert result.notes == ["4 files were skipped, not a picture format: a.txt, b.NEF, c.mov and 1 more"]
    named, notes = folders.targets([Path("in")], Path("in/out"))
    assert named[Path("in/sub/deep/IMG1.jpg")] == Path("in/out/sub/deep/IMG1.jpg") and notes == result.notes
    Path("in/out/sub").mkdir(parents=True)
    Path("in/out/sub/IMG1.jpg").touch()  # a second run does not take the results of the first for sources
    assert folders.targets([Path("in")], Path("in/out")) == (named, notes)
    assert len(folders.below("in")) == len(pictures) + 1


def test_no_two_pictures_have_one_target_on_any_file_system():
    result = names(folders.targets([Path("a"), Path("b")], Path("out"))[0])
    assert result == {
        "a/x.gif": "out/x.png",
        "a/x.png": "out/x-2.png",
        "b/X.PNG": "out/X-3.png",
        "b/x.png": "out/x-4.png",
        "b/y.avif": "out/y.png",
    }
    Path("out").mkdir()
    Path("out/x.png").touch()
    assert (
        names(folders.targets([Path("a"), Path("b")], Path("out"))[0]) == result
    )  # a second call writes the same
    assert names(folders.targets([Path("a/x.png")], Path("z.jpg"))[0]) == {"a/x.png": "z.jpg"}


def test_originals_are_never_replaced():
    os.link("a/x.png", "linked.png")
    for sources, out in (
        (["a"], "a"),
        (["a/x.png"], "a/x.png"),
        (["a/x.png"], "linked.png"),
        (["b/x.png"], "./b"),
    ):
        with pytest.raises(ValueError, match="would replace one of the input pictures"):
            folders.targets([Path(source) for source in sources], Path(out))
    for sources in (["a/x.png", "b/x.png"], ["a"]):
        with pytest.raises(ValueError, match=r"--out is a single file, z\.png"):
            folders.targets([Path(source) for source in sources], Path("z.png"))


def test_one_bad_item_does_not_end_the_others():
    def act(path: str) -> int:
        return len(Path(path).read_text()) if path != "odd" else int(path)

    outcomes = list(folders.each(["a/x.png", "odd", "missing", "a", "b/x.png"], act))
    assert [outcome.item for outcome in outcomes] == ["a/x.png", "odd", "missing", "a", "b/x.png"]
    assert [outcome.result for outcome in outcomes] == [7, None, None, None, 7]
    assert [outcome.error for outcome in outcomes] == [
        "",
        "invalid literal for int() with base 10: 'odd'",
        "missing: No such file or directory",
        "a: Is a directory",
        "",
    ]


def test_a_full_disk_and_a_bug_end_the_batch():
    for error in (OSError(errno.ENOSPC, "No space left on device", "out"), TypeError("a bug")):
        completed = []

        def act(item: int, error: Exception = error, completed: list[int] = completed) -> None:
            completed.append(item)
            raise error

        with pytest.raises(type(error)):
            list(folders.each([1, 2, 3], act))
        assert completed == [1]
