"""Tests of atomic writes: errors, kills, full disks."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from vision_core import files
from vision_core.files import atomic, bundled, parse_json, read_json, without_nan, write_json, write_text
from vision_core.safety.limits import JSON


def test_writes_a_file_and_the_folders_above_it(tmp_path):
    write_text(tmp_path / "a" / "b" / "x.txt", "grün\n")
    assert (tmp_path / "a/b/x.txt").read_bytes() == "grün\n".encode()
    assert len(list((tmp_path / "a/b").iterdir())) == 1


def test_the_target_changes_only_when_the_block_ends(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with atomic(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), atomic(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@contextmanager
def writer(path: Path) -> Iterator[subprocess.Popen]:
    """A process in the middle of writing `path`, killed at the end."""
    code = (
        "import sys, time\n"
        "from vision_core.files import atomic\n"
        "with atomic(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); print('in the middle', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "in the middle\n"
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"old": True})
    with writer(path) as child:
        pass
    assert child.returncode == -signal.SIGKILL
    assert read_json(path) == {"old": True}
    write_json(path, {"new": True})  # what the dead left behind is in nobody's way
    assert read_json(path) == {"new": True}


def test_what_killed_writers_left_is_swept_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SWEEP_SECONDS", 1e-9)  # at each write
    foreign = [tmp_path / name for name in ("film.part", "film.mkv.part", "x.0123456z.part")]
    for path in foreign:
        path.write_bytes(b"half a download")
    with writer(tmp_path / "dead.json"):
        pass
    with writer(tmp_path / "alive.json"):
        dead, alive = (next(tmp_path.glob(f"{name}.json.*.part")) for name in ("dead", "alive"))
        write_text(tmp_path / "x.txt", "1")
        assert dead.exists()  # it may be that young that its writer has not locked it yet
        for path in (*foreign, dead, alive):
            os.utime(path, (1e9, 1e9))
        with atomic(tmp_path / "outer.txt") as file:
            file.write(b"outer")
            for path in tmp_path.glob("outer*"):
                os.utime(path, (1e9, 1e9))
            write_text(tmp_path / "x.txt", "2")
        assert sorted(tmp_path.glob("*.part")) == sorted([*foreign, alive])
    assert (tmp_path / "outer.txt").read_text() == "outer"
    write_text(tmp_path / "x.txt", "3")
    assert sorted(tmp_path.glob("*.part")) == sorted(foreign)


def test_writing_many_files_does_not_list_their_folder_each_time(tmp_path):
    listed, on = [], [True]
    sys.addaudithook(lambda event, what: on[0] and event == "os.scandir" and listed.append(str(what[0])))
    for number in range(300):
        write_text(tmp_path / f"{number}.txt", "x")
    on[0] = False  # a hook stays for good
    assert 1 <= listed.count(str(tmp_path)) <= 2  # a minute may end meanwhile


def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path):
    """A disk of 64 kB where we may mount one, else the kernel's limit on the size of files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True)
    limit = "" if mounted.returncode == 0 else "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))"
    code = f"""
import resource, signal, sys
from vision_core.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
{limit}
write_text(sys.argv[1], "old")
for size in (100_000, 10_000_000):  # fails on flush, fails on write
    try:
        write_text(sys.argv[1], "x" * size)
    except OSError as error:
        print(error.strerror, error.filename)
"""
    try:
        path = disk / "x.txt"
        process = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
        lines = process.stdout.splitlines()
        assert len(lines) == 2 and all(line.endswith(f" {path}") for line in lines), process.stderr
        assert path.read_text() == "old" and list(disk.iterdir()) == [path]
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", disk], check=True)


def test_permissions_are_the_old_file_s_or_the_user_s(tmp_path):
    path = tmp_path / "x"
    mask = os.umask(0o027)
    try:
        write_text(path, "1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(mask)
    path.chmod(0o600)
    write_text(path, "2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_refuses_what_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="is a folder"):
        write_text(tmp_path, "")
    (tmp_path / "x").write_text("")
    with pytest.raises(ValueError, match="x is not a folder"):
        write_text(tmp_path / "x" / "y", "")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ValueError, match="not an ordinary file"):
        write_text(fifo, "")
    assert stat.S_ISFIFO(fifo.stat().st_mode)  # a device such as /dev/null must never be replaced
    with pytest.raises(ValueError, match="null"):
        write_text(tmp_path / "a\0b", "")


def test_a_name_as_long_as_names_may_be(tmp_path):
    for name in ("x" * 255, "写" * 85):
        write_text(tmp_path / name, "1")
        assert (tmp_path / name).read_text() == "1"


def test_json_goes_round_and_refuses_nan(tmp_path):
    path = tmp_path / "x.json"
    data = {"name": "Grün", "values": [1, 2.5, None, True], "deep": {"a": []}}
    for indent in (2, None):
        write_json(path, data, indent)
        assert read_json(path) == data
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path) == data


def test_without_nan_is_json_that_everyone_reads():
    data = {"a": [1.5, float("nan"), (float("inf"), 2)], "b": "nan", "c": -float("inf"), "d": True}
    plain = without_nan(data)
    assert plain == {"a": [1.5, None, [None, 2]], "b": "nan", "c": None, "d": True}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_every_fault_of_a_json_file_is_one_sentence(tmp_path):
    path = tmp_path / "x.json"
    with pytest.raises(ValueError, match="there is no file"):
        read_json(path)
    with pytest.raises(ValueError, match="is a folder"):
        read_json(tmp_path)
    odd = [b"NaN", b"-Infinity", b"1e999", b"1" * 5000, b"9" * 20, b"[1, " + b"9" * 5000 + b"]"]
    for data in (b"", b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 100_000, *odd):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"x\.json is not valid JSON"):
            read_json(path)
    with pytest.raises(ValueError, match=r"x\.json has 6,000,001 values; at most 5,000,000 are accepted"):
        parse_json("[" + "[]," * 3_000_000 + "0]", "x.json")
    path.write_bytes(b" " * (1 + (2 << 20)))
    with pytest.raises(ValueError, match=r"x\.json has 2\.00 MB; at most 2 are accepted"):
        read_json(path, replace(JSON, default=2))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe is not an ordinary file"):
        read_json(tmp_path / "pipe")
    path.write_bytes(b"\xef\xbb\xbf[1]")  # as some editors save it
    assert read_json(path) == [1]


def test_bundled_folders_are_there():
    for name in ("assets", "models"):
        assert bundled(name).is_dir() and isinstance(bundled(name), Path)
