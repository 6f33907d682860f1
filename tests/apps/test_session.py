"""Tests of visits: keys, limits of size and time, shown pictures, sweeping."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from apps.image_editing import works
from apps.image_editing.visit import Visit
from apps.shared import results, visits
from vision_core.pictures import images


@pytest.fixture
def visitor(tmp_path, monkeypatch):
    """A session in a temporary folder of its own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return visits.opened(visits.new("test"))


def test_a_session_is_found_by_its_key_and_by_nothing_else(visitor):
    assert visits.find("test", visitor.key) == visitor
    for key in (None, "", visitor.owner, "../" + visitor.key, visitor.key[:-1], 10**400, {"a": 1}):
        assert visits.find("test", key) is None
    assert visits.find("other", visitor.key) is None
    assert visitor.key not in str(visitor.folder)


def test_the_thousandth_folder_is_newer_than_the_one_before(visitor):
    for number in (1, 2, 999, 1000, 1001):
        (visitor.path(f"work-{number:03}")).mkdir()
    (visitor.path("work-1000") / "work.json").touch()
    (visitor.path("work-999") / "work.json").touch()
    (visitor.path("work-mine")).mkdir()
    names = visits.numbered(visitor, "work")
    assert names == ["work-1001", "work-1000", "work-999", "work-002", "work-001"]
    assert visits.numbered(visitor, "work", "work.json") == ["work-1000", "work-999"]
    assert visits.next_name(visitor, "work") == "work-1002"
    assert visits.next_name(visitor, "look") == "look-001"


def test_the_folder_of_all_is_for_this_user_alone(visitor):
    assert visits.root().stat().st_mode & 0o777 == 0o700


def test_a_second_holder_of_the_lock_is_refused_and_a_third_is_not(visitor):
    with visits.locked(visitor), pytest.raises(ValueError, match="still going on"), visits.locked(visitor):
        pass
    with visits.locked(visitor):
        pass


def test_a_picture_is_shown_from_one_file_and_old_ones_go(visitor):
    paths = [visits.shown(visitor, np.full((4, 4, 3), n, np.uint8)) for n in range(40)]
    assert images.read(paths[-1]).rgb[0, 0].tolist() == [39, 39, 39]
    written = os.stat(paths[-1]).st_ino
    assert visits.shown(visitor, np.full((4, 4, 3), 39, np.uint8)) == paths[-1]
    assert os.stat(paths[-1]).st_ino == written
    assert len(list(visitor.folder.glob("shown-*"))) == visits.SHOWN


def test_an_upload_is_kept_once_under_a_name_of_its_content_and_its_title_is_known(visitor, tmp_path):
    upload = tmp_path / "my secret holiday.PNG"
    upload.write_bytes(b"data")
    name = visits.keep(visitor, upload)
    assert visits.keep(visitor, upload) == name and "secret" not in name and name.endswith(".png")
    assert visitor.path(name).read_bytes() == b"data"
    assert visits.title(visitor, name) == "my secret holiday"
    visits.keep(visitor, visitor.path(name))  # as a reload does
    assert visits.title(visitor, name) == "my secret holiday"


def test_an_upload_that_comes_twice_at_once_is_kept_each_time(visitor, tmp_path):
    upload = tmp_path / "a.png"
    with ThreadPoolExecutor(8) as threads:
        for number in range(20):
            upload.write_bytes(bytes([number]) * 1_000_000)
            [name] = set(threads.map(lambda _: visits.keep(visitor, upload), range(8)))
            assert visitor.path(name).read_bytes() == upload.read_bytes()


def test_only_removed_results_are_said_to_be_removed(visitor):
    kind, visit = works.Work, Visit(visitor)
    killed = results.create(kind, visit, 0)  # its facts were never written
    kept = [results.create(kind, visit, 0) for _ in range(3)]
    for work in kept:
        work.describe()
    every = results.every(kind, visit)
    assert every == kept[::-1]
    assert results.missing(every, 3) == ""
    assert results.removable(kind, visit)[0] == killed.folder
    visits.remove(killed.folder)
    assert results.missing(every, 2) == " (an older one is not shown; the first one was removed to make room)"


def test_too_much_removes_old_results_first_and_is_then_refused(visitor, monkeypatch):
    monkeypatch.setenv("VISION_CORE_MAX_VISIT_MB", str(1000 / (1 << 20)))
    for name in ("old", "new"):
        visitor.path(name).write_bytes(bytes(400))
    visits.make_room(visitor, 300, [visitor.path("old")])
    assert not visitor.path("old").exists() and visitor.path("new").exists()
    with pytest.raises(ValueError, match="keeps for a visitor"):
        visits.make_room(visitor, 900)


def test_all_visitors_together_have_a_limit_and_the_longest_absent_goes(visitor, monkeypatch):
    away, here = visits.opened(visits.new("test")), visits.opened(visits.new("test"))
    for other in (away, here):
        other.path("x").write_bytes(bytes(600))
    long_ago = time.time() - 2 * visits.UPLOAD_LIFETIME
    os.utime(away.folder, (long_ago, long_ago))
    monkeypatch.setenv("VISION_CORE_MAX_ALL_VISITS_MB", str(1000 / (1 << 20)))
    visits.make_room(visitor, 300)
    assert not away.folder.exists() and here.folder.exists()
    with pytest.raises(ValueError, match="disk is full"):
        visits.make_room(visitor, 900)


def test_the_work_of_making_room_grows_with_the_files_not_with_their_square(visitor, monkeypatch):
    def folders_looked_into(visitors: int) -> int:
        visits.remove(visits.root())
        for _ in range(visitors):
            other = visits.opened(visits.new("test"))
            other.path("x").write_bytes(bytes(600))
            long_ago = time.time() - 2 * visits.UPLOAD_LIFETIME
            os.utime(other.folder, (long_ago, long_ago))
        looked = 0

        def walk(folder):
            nonlocal looked
            for entry in real(folder):
                looked += 1
                yield entry

        monkeypatch.setattr(os, "walk", walk)
        visits.make_room(visitor, 300)
        assert len(visits.everyone()) == 1
        return looked

    real = os.walk
    monkeypatch.setenv("VISION_CORE_MAX_ALL_VISITS_MB", str(1000 / (1 << 20)))
    few, many = folders_looked_into(10), folders_looked_into(100)
    assert many < 12 * few


def test_a_nearly_full_disk_is_a_sentence(visitor, monkeypatch):
    monkeypatch.setattr(visits, "FREE_BYTES", shutil.disk_usage(visits.root()).total * 2)
    with pytest.raises(ValueError, match="disk is full"):
        visits.shown(visitor, np.zeros((4, 4, 3), np.uint8))


def test_the_sweep_takes_what_is_out_of_date_and_nobody_uses(visitor):
    gone, busy = visits.opened(visits.new("test")), visits.opened(visits.new("test"))
    abandoned, fresh = visits.uploads() / "tmpabandoned", visits.uploads() / "fresh"
    abandoned.write_bytes(b"half an upload")
    fresh.mkdir()
    for path in (gone.folder, busy.folder, abandoned):
        os.utime(path, (0, 0))
    with visits.locked(busy):
        visits.sweep()
    assert [p.exists() for p in (gone.folder, abandoned)] == [False, False]
    assert [p.exists() for p in (busy.folder, visitor.folder, fresh)] == [True, True, True]


def test_no_fault_ends_the_janitor(visitor, monkeypatch):
    (visits.root() / "uploads").write_text("a file where the folder should be")
    gone = visits.opened(visits.new("test"))
    os.utime(gone.folder, (0, 0))
    janitor = visits.Janitor(every=0.05)
    janitor.start()
    time.sleep(0.2)
    (visits.root() / "uploads").unlink()
    deadline = time.monotonic() + 20
    while gone.folder.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    janitor.stop()
    assert not gone.folder.exists()


def test_a_visit_is_kept_for_days_here_and_for_hours_on_a_space(visitor, monkeypatch):
    visits.opened(visitor)
    long_ago = time.time() - 24 * 3600
    os.utime(visitor.folder, (long_ago, long_ago))
    visits.sweep()
    assert visitor.folder.is_dir() and visits.lifetime() == 7 * 24 * 3600
    monkeypatch.setenv("SPACE_ID", "somebody/app")
    assert visits.lifetime() == 6 * 3600
    visits.sweep()
    assert not visitor.folder.exists()
    monkeypatch.setenv("VISION_CORE_MAX_VISIT_HOURS", "2")
    assert visits.lifetime() == 2 * 3600
