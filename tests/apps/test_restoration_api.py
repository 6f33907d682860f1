"""Tests of the restoration endpoints over HTTP."""

from pathlib import Path

import numpy as np
import pytest
from server import served

from vision_core import restoration
from vision_core.pictures import images
from vision_core.pictures.images import Picture
from vision_core.restoration import Options, degrade, draw, pages

ROOT = Path(__file__).parents[2]
client = pytest.importorskip("gradio_client")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A client of the restoration app, served alone."""
    folder = tmp_path_factory.mktemp("server")
    with served("restoration", {"TMPDIR": str(folder)}) as address:
        yield client.Client(address, verbose=False, download_files=str(folder))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "page.png"
    images.save(Picture(pages.page(2, width=120, height=90).pixels.permute(1, 2, 0).numpy()), path)
    return path


def test_a_script_restores_bit_for_bit_what_the_core_restores(script, file):
    handed = client.handle_file(str(file))
    png, message = script.predict(handed, 1, "denoise", 0.5, "grey", False, False, api_name="/restore")
    options = Options(strength=0.5, output="grey", gate=False, method="denoise")
    expected = restoration.restore(images.read(file), None, options)
    assert Path(png).read_bytes() == images.encode(expected.picture)
    assert message["accepted"] == expected.verdict.accepted and message["reason"] == expected.verdict.reason


def test_a_script_names_only_what_it_wants_otherwise(script, file):
    png, _ = script.predict(
        client.handle_file(str(file)), method="classical", gate=False, api_name="/restore"
    )
    expected = restoration.restore(images.read(file), None, Options(method="classical", gate=False))
    assert np.array_equal(images.read(png).rgb, expected.picture.rgb)


def test_a_script_damages_a_page_by_a_recipe_that_repeats_it(script, file):
    png, recipe = script.predict(client.handle_file(str(file)), "stains", 4, 9, api_name="/damage")
    assert recipe == draw(9, ("stains",), 4)
    again = images.from_tensor(degrade(images.to_tensor(images.read(file).rgb), [recipe]))
    assert np.array_equal(images.read(png).rgb, again)


def test_names_types_and_refusals_are_told(script, file, tmp_path):
    endpoints = script.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/restore", "/damage"}
    parameters = {
        each["parameter_name"]: each["python_type"]["type"] for each in endpoints["/restore"]["parameters"]
    }
    assert (
        parameters["strength"] == "float"
        and parameters["gate"] == "bool"
        and "Literal" in parameters["output"]
    )
    with pytest.raises(Exception, match="strength is 7, expected a number from 0 to 1"):
        script.predict(
            client.handle_file(str(file)), 1, "network", 7, "color", False, True, api_name="/restore"
        )
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(Exception, match="not an image we can read"):
        script.predict(client.handle_file(str(tmp_path / "text.png")), "stains", 1, 0, api_name="/damage")
