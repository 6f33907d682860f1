"""Tests of checkpoints: round trips in both formats, rejection of everything else."""

import json
import os
import pickle
import pickletools
import zipfile
from io import BytesIO
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vision_core.checkpoints import HEADER, load, save
from vision_core.safety.bounds import Bounds, Real, Several, Whole
from vision_core.safety.messages import LONGEST
from vision_core.states import load_state, save_state

METADATA = {"seed": 3, "metrics": {"accuracy": 0.5}, "data": ["a", "grün"], "licence": None}
SUFFIXES = pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".PTH"])


class Net(nn.Module):
    bounds: ClassVar[Bounds] = {"width": Whole(0, 10**9), "scale": Several(Real(0, 1e6), 1, 9)}

    def __init__(self, width: int = 4, scale: tuple[float, ...] = (1.0,)) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be 1 or more, got {width}")
        self.architecture = {"width": width, "scale": list(scale)}
        self.layer = nn.Linear(3, width)
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(self, x):
        return self.norm(self.layer(x)) * self.scale


class Other(Net):
    pass


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def net(seed: int = 0) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(5, (2.0,))


@SUFFIXES
def test_round_trip(tmp_path, suffix):
    path, model = tmp_path / f"x{suffix}", net()
    model(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))  # moves the running statistics
    save(path, model, METADATA)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    again, metadata = load(path, Net)
    assert torch.equal(torch.random.get_rng_state(), before)  # a load draws none of the caller's numbers
    assert metadata == METADATA and again.architecture == model.architecture and not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    x = torch.randn(2, 3)
    assert torch.equal(again(x), model.eval()(x))  # the buffer that is not stored included


@SUFFIXES
def test_equal_content_is_equal_bytes(tmp_path, suffix):
    metadata = {"".join(["se", "ed"]): 3, "list": [1, 2]}  # strings and numbers that are equal, not identical
    save(tmp_path / f"a{suffix}", net(), {"seed": 3, "list": (1, 2)})
    (tmp_path / "elsewhere").mkdir()
    save(tmp_path / "elsewhere" / f"b{suffix}", net(), metadata)
    save(tmp_path / f"c{suffix}", net(1), metadata)
    a, b, c = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("a", "elsewhere/b", "c"))
    assert a == b != c


@SUFFIXES
def test_numpy_numbers_in_the_metadata_do_not_spoil_the_file(tmp_path, suffix):
    save(tmp_path / f"x{suffix}", net(), {"score": np.float64(0.5)})
    assert load(tmp_path / f"x{suffix}", Net)[1] == {"score": 0.5}


@SUFFIXES
def test_a_part_of_a_larger_tensor_is_stored_alone(tmp_path, suffix):
    model = net()
    model.layer.weight = nn.Parameter(torch.zeros(500_000, 3)[:5])
    model.norm.weight = model.norm.bias  # one tensor under two names
    save(tmp_path / f"x{suffix}", model, {})
    assert (tmp_path / f"x{suffix}").stat().st_size < 20_000
    load(tmp_path / f"x{suffix}", Net)


def test_a_bare_file_name_is_written_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("x.pth", net(), {})
    assert load("x.pth", Net)[1] == {} and os.listdir() == ["x.pth"]


@SUFFIXES
@pytest.mark.parametrize("bad", [{"a": object()}, {"a": torch.ones(1)}, {"a": b"bytes"}, {(1, 2): 3}])
def test_metadata_that_are_not_plain_data_are_refused_before_anything_is_written(tmp_path, suffix, bad):
    path = tmp_path / f"x{suffix}"
    save(path, net(), METADATA)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="only plain data"):
        save(path, net(1), bad)
    assert path.read_bytes() == before and len(os.listdir(tmp_path)) == 1


def test_other_suffixes_and_folders_are_refused(tmp_path):
    for name in ("x.bin", "x"):
        with pytest.raises(ValueError, match=r"saved as \.safetensors or \.pth"):
            save(tmp_path / name, net(), {})
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        save(tmp_path / "folder.pth", net(), {})
    for path in (tmp_path, tmp_path / "missing.pth", "a\0b.pth"):
        with pytest.raises(ValueError, match=r"there is no file|is a folder"):
            load(path, Net)


@SUFFIXES
def test_another_network_names_both(tmp_path, suffix):
    save(tmp_path / f"x{suffix}", net(), {})
    with pytest.raises(ValueError, match="holds Net, but Other was expected"):
        load(tmp_path / f"x{suffix}", Other)
    assert type(load(tmp_path / f"x{suffix}", Other, Net)[0]) is Net


@SUFFIXES
def test_every_truncation_is_refused(tmp_path, suffix):
    save(tmp_path / f"whole{suffix}", net(), METADATA)
    data = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"cut\.\w+ ") as caught:
            load(path, Net)
        assert "\n" not in str(caught.value)


@SUFFIXES
def test_what_is_no_checkpoint_is_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    for data in (
        b"hello",
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        b"PK\x03\x04" + bytes(40),
        b"\xff" * 5000,
        b"{" * 999,
        b"\x80\x02J\x00",  # torch's unpickler stops with a struct.error
        b"\x80\x02}(X\xff\xff\xff\xff",
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"x\.\w+ "):
            load(path, Net)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path):
    target = tmp_path / "owned"
    state = {"model_state_dict": net().state_dict(), "model_architecture": {}, "metadata": Evil(target)}
    torch.save(state, tmp_path / "zip.pth")
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(state))
    for name in ("zip", "legacy", "raw"):
        with pytest.raises(ValueError, match=f"{name}.pth was refused"):
            load(tmp_path / f"{name}.pth", Net)
    assert not target.exists()
    pickle.loads(pickle.dumps(Evil(target)))
    assert target.exists()  # it would have worked


def test_a_zip_bomb_is_refused(tmp_path):
    save_state(tmp_path / "x.pth", {"zeros": torch.zeros(1_000_000)})
    bomb = tmp_path / "bomb.pth"
    with (
        zipfile.ZipFile(tmp_path / "x.pth") as whole,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in whole.namelist():
            packed.writestr(entry, whole.read(entry))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(ValueError, match="its members are compressed"):
        load_state(bomb)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_of_millions_of_lists_is_refused_before_they_are_made(tmp_path, legacy):
    """Each `]` is a list; weights of both formats with as much data still open."""
    whole = tmp_path / "x.pth"
    torch.save({"zeros": torch.zeros(4)}, whole, _use_new_zipfile_serialization=not legacy)
    assert load_state(whole)["zeros"].tolist() == [0] * 4
    lists = b"\x80\x02(" + b"]" * 20_000_000 + b"t."
    packed = tmp_path / "lists.pth"
    if legacy:
        data = BytesIO(whole.read_bytes())
        for _ in range(3):
            [*pickletools.genops(data)]
        packed.write_bytes(data.getvalue()[: data.tell()] + lists)
    else:
        with zipfile.ZipFile(whole) as original, zipfile.ZipFile(packed, "w") as archive:
            for entry in original.namelist():
                archive.writestr(entry, lists if entry.endswith("data.pkl") else original.read(entry))
    with pytest.raises(ValueError, match="its description has more than 1,000,000 parts"):
        load_state(packed)


def test_files_without_our_header(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "bare.safetensors")
    save_file({"a": torch.ones(2)}, tmp_path / "format.safetensors", {"format": "pt"})
    strange = {HEADER: '{"architecture": [1], "metadata": {}}'}
    save_file({"a": torch.ones(2)}, tmp_path / "strange.safetensors", strange)
    torch.save(net().state_dict(), tmp_path / "state.pth")
    torch.save(torch.ones(3), tmp_path / "tensor.pth")
    torch.save({"model_state_dict": 1, "model_architecture": 2, "metadata": 3}, tmp_path / "numbers.pth")
    for name, message in {
        "bare.safetensors": "no vision-core header",
        "format.safetensors": "no vision-core header",
        "strange.safetensors": "broken header",
        "state.pth": "lacks model_state_dict",
        "tensor.pth": "holds a Tensor",
        "numbers.pth": "broken header",
    }.items():
        with pytest.raises(ValueError, match=message):
            load(tmp_path / name, Net)


def tampered(tmp_path, **changes):
    """A file as `save` writes it, but for some parts."""
    state = {k: v for k, v in (net().state_dict() | changes.pop("state", {})).items() if v is not None}
    architecture = {"model": "Net", "width": 5, "scale": [2.0]} | changes
    save_state(
        tmp_path / "x.pth", {"model_state_dict": state, "model_architecture": architecture, "metadata": {}}
    )
    return tmp_path / "x.pth"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": {"layer.bias": None}}, "layer.bias is missing"),
        ({"state": {"more": torch.ones(1)}}, "more is unexpected"),
        ({"state": {"layer.bias": torch.ones(6)}}, r"layer.bias is \[6\], not \[5\]"),
        ({"state": {"layer.bias": torch.tensor([1, 2, 3, 4, float("nan")])}}, "layer.bias holds NaN"),
        ({"state": {"layer.bias": 3}}, "no tensor"),
        ({"width": 6}, r"layer.weight is \[5, 3\], not \[6, 3\]"),
        ({"width": 10**9}, r"layer.weight is \[5, 3\]"),  # would take 12 GB
        ({"width": 10**30}, "width is 10+; a whole number from 0 to 1000000000 was expected"),
        ({"width": 0}, "width must be 1 or more"),
        ({"width": "five"}, "width is 'five'; a whole number"),
        ({"width": True}, "width is True"),
        ({"scale": [{}]}, "scale is .*; 1 to 9 times a number from 0 to 1e"),
        ({"scale": [1.0] * 10}, "scale is"),
        ({"scale": [float("nan")]}, "scale is .nan.; 1 to 9 times"),
        ({"depth": 3}, "it names 'depth', which is no argument of that network"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(tampered(tmp_path, **changes), Net)
    assert "does not fit Net" in str(caught.value) and "\n" not in str(caught.value)


def test_an_untouched_file_of_that_kind_fits(tmp_path):
    assert load(tampered(tmp_path), Net)[0].architecture == {"width": 5, "scale": [2.0]}


def test_states_go_round(tmp_path):
    state = {"optimizer": torch.optim.Adam(net().parameters()).state_dict(), "epoch": 3, "best": float("inf")}
    save_state(tmp_path / "resume.pt", state)
    assert json.dumps(load_state(tmp_path / "resume.pt"), default=str) == json.dumps(state, default=str)
    with pytest.raises(ValueError, match="there is no file"):
        load_state(tmp_path / "missing.pt")
    with pytest.raises(ValueError, match="is a folder"):
        load_state(tmp_path)


def nested(depth: int, width: int) -> list:
    created: list = []
    for _ in range(depth):
        created = [created] * width
    return created


@pytest.mark.parametrize(
    "odd",
    [
        *(nested(30, 2), nested(400, 1), {"model": nested(30, 2)}, {(1, (2, 3)): 1}),
        *({"model": "\x1b[31m" * 10**5}, {"model": "Net", "width": nested(30, 2)}, torch.zeros(1)),
    ],
    ids=range(7),
)
def test_lists_in_lists_are_refused_before_anybody_goes_through_them(tmp_path, odd):
    good = {"model_state_dict": net().state_dict(), "model_architecture": {"model": "Net"}, "metadata": {}}
    for name in good:
        save_state(tmp_path / "x.pth", {**good, name: odd})
        with pytest.raises(ValueError) as refused:
            load(tmp_path / "x.pth", Net)
        assert len(str(refused.value)) <= LONGEST and str(refused.value).isprintable()


@pytest.mark.parametrize("stride", [(0,), (1,)])
def test_tensors_that_are_larger_than_their_file_are_refused(tmp_path, stride):
    """Tensors of stride 0, and archive members that share their bytes."""
    path = tmp_path / "x.pth"
    if stride == (0,):
        save_state(path, {"a": torch.zeros(1).as_strided((10**9,), stride)})
    else:
        save_state(path, {str(n): torch.full((10**5,), n) for n in range(20)})
        data = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            first = next(
                part.header_offset for part in archive.infolist() if part.filename.endswith("data/0")
            )
        at = data.index(b"PK\x01\x02")
        while data[at : at + 4] == b"PK\x01\x02":
            name, more = data[at + 46 : at + 46 + data[at + 28]], data[at + 30] + 256 * data[at + 31]
            if b"/data/" in name:
                data[at + 42 : at + 46] = first.to_bytes(4, "little")
            at += 46 + len(name) + more
        end = data.index(b"PK\x01\x02")
        start = data.index(b"PK\x03\x04", first + 1)
        del data[start:end]  # one member's bytes stay
        eocd = data.rindex(b"PK\x05\x06")
        data[eocd + 16 : eocd + 20] = start.to_bytes(4, "little")
        path.write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.pth is not a complete PyTorch file"):
        load_state(path)


def test_tensors_that_are_no_plain_arrays_are_refused(tmp_path):
    for value in (torch.eye(3).to_sparse(), torch.zeros(3, device="meta"), torch.eye(2).to_sparse_csr()):
        save_state(tmp_path / "x.pth", {"a": value})
        with pytest.raises(ValueError, match=r"x\.pth (was refused|is not a complete)"):
            load_state(tmp_path / "x.pth")


@pytest.mark.parametrize("length", [2**63, 2**40, (16 << 20) + 1])
def test_a_header_that_is_too_long_is_refused_before_it_is_read(tmp_path, length):
    (tmp_path / "x.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(ValueError, match=r"its header has .* MB; at most 4 are accepted|more than 1e15"):
        load(tmp_path / "x.safetensors", Net)


def test_a_header_that_is_nested_deeply_is_refused(tmp_path):
    for text in (
        '{"architecture": ' + "[" * 10**5,
        '{"architecture": {"model": "Net", "width": NaN}, "metadata": {}}',
    ):
        save_file(net().state_dict(), tmp_path / "x.safetensors", {HEADER: text})
        with pytest.raises(ValueError, match="no vision-core header"):
            load(tmp_path / "x.safetensors", Net)
