"""Tests of ZeroGPU with a stub of the Hub's package, which pickles calls into a forked process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = '''
import inspect, os, pickle

def GPU(function, duration):
    """Like the hub's: a forked process gets pickled arguments, and pickled results come back one by one."""
    def lent(*args):
        read, write = os.pipe()
        sent = pickle.dumps(args)
        if (child := os.fork()) == 0:
            with os.fdopen(write, "wb") as out:
                try:
                    found = function(*pickle.loads(sent))
                    for one in found if inspect.isgeneratorfunction(function) else [found]:
                        pickle.dump((one, None), out)
                except BaseException as error:
                    pickle.dump((None, error), out)
            os._exit(0)
        os.close(write)
        lent.calls.append(getattr(args[0], "__name__", None) or args[0].func.__name__)
        with os.fdopen(read, "rb") as back:
            while True:
                try:
                    one, error = pickle.load(back)
                except EOFError:
                    break
                if error is not None:
                    raise error
                yield one
        os.waitpid(child, 0)
    lent.calls = []
    if inspect.isgeneratorfunction(function):
        return lent
    plain = lambda *args: next(iter(list(lent(*args))))
    plain.calls = lent.calls
    return plain
'''
SCRIPT = """
import os, sys
from apps.shared import gpu, visits
from apps.image_editing import api as editing
from apps.restoration import api as restoration
from vision_core import devices
picture = sys.argv[1]
assert gpu.ZERO and os.environ["VISION_CORE_DEVICE"] == "cpu" and str(devices.pick()) == "cpu"
gpu.ready()
png, said = restoration.restore(picture, 1, "network", 1, "color", False, False)
assert os.path.getsize(png) and "change" in said
*_, edited = editing.edit_task(picture, "remove", None, "cat", "", "classical", "", 0)
assert os.path.getsize(edited)
assert os.environ["VISION_CORE_DEVICE"] == "cpu"  # what a call sets stays in its process
print(gpu.call.calls, gpu.stream.calls)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_heavy_calls_go_to_the_lent_gpu_and_come_back(tmp_path):
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "spaces" / "zero.py").write_text("def startup():\n    print('declared')\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "SPACES_ZERO_GPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    picture = str(ROOT / "assets" / "color" / "cat.jpg")
    command = [sys.executable, "-c", SCRIPT, picture]
    environment["TMPDIR"] = str(tmp_path)
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout == "declared\n['restore'] ['perform_task']\n"
