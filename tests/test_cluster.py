"""Tests of folder jobs on a Ray cluster of two workers, one of which is killed."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from vision_core import cluster, devices, leaves, restoration
from vision_core.cli.color import apply
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import batch, spread
from vision_core.restoration.restore import Options
from vision_core.weights import find

ASSETS = Path(__file__).parents[1] / "assets"
OPTIONS = Options(gate=False, device="cpu")


@pytest.mark.parametrize(
    ("target", "typed", "remote"),
    [
        ("s3:/shelf/pages", "s3://shelf/pages", True),
        ("s3://shelf/pages", "s3://shelf/pages", True),
        ("/shelf/pages", "/shelf/pages", False),
        ("shelf:/pages", "shelf://pages", True),
        ("file:///shelf/pages", "file:///shelf/pages", True),
        ("C:/pages", "C:/pages", False),
        ("a folder", "a folder", False),
    ],
)
def test_a_url_is_known_though_a_path_loses_a_slash(target, typed, remote):
    assert cluster.as_typed(Path(target)) == typed and cluster.is_url(target) is remote


def test_without_a_cluster_a_url_is_refused(tmp_path):
    pairs = [(tmp_path / "a.png", Path("s3://shelf/a.png"))]
    with pytest.raises(ValueError, match="--ray local"):
        list(cluster.files(pairs, lambda source, target: None, None))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """Eleven files: nine pages, a document of two and one that cannot be read."""
    folder = tmp_path_factory.mktemp("shelf")
    rng = np.random.default_rng(0)
    scans = [
        Picture((255 * rng.random((12, 16, 1)).repeat(12, 0).repeat(12, 1).repeat(3, 2)).astype(np.uint8))
        for _ in range(11)
    ]
    for number, scan in enumerate(scans[:9]):
        images.save(scan, folder / f"page-{number}.png")
    first, second = (images.read(folder / f"page-{number}.png").rgb for number in (0, 1))
    from PIL import Image

    Image.fromarray(first).save(folder / "book.tif", save_all=True, append_images=[Image.fromarray(second)])
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def storage():
    """A local S3 with a bucket `shelf`, named in the environment of this process and its children."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="shelf")
        yield client
    server.stop()


@pytest.fixture(scope="module")
def two_workers(storage):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'vision-core[cluster]'")
    with cluster.connected(cluster.LOCAL, 2):
        yield


@pytest.fixture(scope="module")
def alone(shelf, tmp_path_factory):
    """The reports and the files of one process with one thread, as the workers have."""
    out, threads = tmp_path_factory.mktemp("alone"), torch.get_num_threads()
    torch.set_num_threads(1)
    with devices.fixed_cores():  # another test of this process may have had more
        reports = list(batch.run([shelf], out, restoration.load()[0], OPTIONS, None, "m"))
    torch.set_num_threads(threads)
    return told(reports, out), files_in(out)


def told(reports, out) -> list[tuple]:
    """The reports without seconds and folders."""
    return sorted(
        (r.source, r.page, (r.written or "").replace(f"{out}/", ""), r.outcome, r.reason, r.change)
        for r in batch.table(reports)
    )


def files_in(folder: Path) -> dict[str, bytes]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in paths.items() if name != batch.JOURNAL}


def kill_a_worker() -> None:
    children = psutil.Process().children(recursive=True)
    at_work = [child for child in children if "ray::Worker.work" in " ".join(child.cmdline())]
    os.kill(at_work[0].pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_worker_costs_nothing(shelf, alone, two_workers, tmp_path):
    network, reports = restoration.load()[0], []
    for report in spread.run([shelf], tmp_path, network, OPTIONS, None, "m", cluster.LOCAL, 2):
        reports.append(report)
        if len(reports) == 2:
            kill_a_worker()
    assert (told(reports, tmp_path), files_in(tmp_path)) == alone
    lines = [json.loads(line) for line in (tmp_path / batch.JOURNAL).read_text().splitlines()]
    pages = [(line["file"], line["report"]["page"]) for line in lines if "outcome" in line["report"]]
    assert len(set(pages)) == len(pages) == 10

    again = list(spread.run([shelf], tmp_path, network, OPTIONS, None, "m", cluster.LOCAL, 2))
    assert sum(report.skipped for report in again) == 10 and len(again) == 11
    one = list(batch.run([shelf], tmp_path, network, OPTIONS, None, "m"))
    assert [report.skipped for report in one].count(False) == 1  # the broken one


@pytest.mark.slow
def test_results_at_a_url_need_no_shared_disk(shelf, alone, storage, two_workers):
    network, out = restoration.load()[0], Path("s3://shelf/restored")
    reports = list(spread.run([shelf], out, network, OPTIONS, None, "m", cluster.LOCAL, 2))
    assert told(reports, "s3://shelf/restored") == alone[0]
    names = [entry["Key"] for entry in storage.list_objects_v2(Bucket="shelf")["Contents"]]
    bodies = [storage.get_object(Bucket="shelf", Key=name)["Body"].read() for name in names]
    stored = {name.removeprefix("restored/"): body for name, body in zip(names, bodies, strict=True)}
    assert batch.JOURNAL in stored
    assert {name: data for name, data in stored.items() if name != batch.JOURNAL} == alone[1]
    again = list(spread.run([shelf], out, network, OPTIONS, None, "m", cluster.LOCAL, 2))
    assert sum(report.skipped for report in again) == 10


@pytest.mark.slow
def test_colours_and_leaves_are_those_of_one_process(two_workers, tmp_path):
    pictures = [ASSETS / "color" / f"{name}.jpg" for name in ("cat", "coffee", "rocket")]
    (tmp_path / "bad.png").write_bytes(b"no picture")
    pictures.append(tmp_path / "bad.png")
    answers = [
        apply(pictures, model=find("color"), out=tmp_path / name, ray=address).data
        for name, address in (("one", None), ("many", cluster.LOCAL))
    ]
    assert files_in(tmp_path / "one") == files_in(tmp_path / "many") != {}
    assert json.dumps(answers[0]).replace("/one/", "/many/") == json.dumps(answers[1])
    assert list(answers[1]["failed"]) == [str(tmp_path / "bad.png")]

    folder = tmp_path / "leaves"
    folder.mkdir()
    for path in (ASSETS / "leaves").glob("*/*.jpg"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.jpg").write_bytes(b"no picture")
    model = leaves.load()[0]

    def spread_out(act, lists):
        return cluster.mapped(act, lists, cluster.LOCAL, 2)

    (one, skipped), (many, left_out) = (
        leaves.predict_files(model, [folder], how) for how in (map, spread_out)
    )
    assert skipped == left_out and len(left_out) == 1
    for (file, answer), (other, same) in zip(one, many, strict=True):
        assert file == other and answer.label == same.label
        assert answer.probability == pytest.approx(same.probability, abs=1e-5)
