"""Tests of AnchorNet: all parameters are trained, gradients are exact, results generalise."""

import shutil

import numpy as np
import pytest
import torch

from vision_core import checkpoints, devices, runs
from vision_core.editing import losses, train
from vision_core.editing.anchor_net import AnchorNet, pool
from vision_core.events import Done


def test_the_parameter_counts_of_the_original():
    for sizes, count in ((2, 1274), (6, 1678), (7, 1779)):
        assert sum(p.numel() for p in AnchorNet(768, sizes).parameters()) == count
    trained = AnchorNet(768, 6, train_projection=True)
    assert sum(p.numel() for p in trained.parameters()) == 1678 + 768 * 12
    assert "projection" in AnchorNet(768).state_dict()  # fixed, but saved: without it the rest means nothing


def test_a_reloaded_network_says_the_same(tmp_path):
    with devices.seeded(3):
        network = AnchorNet(24, 3)
        boxes = torch.randn(5, 3, 24, 8, 8)
    checkpoints.save(tmp_path / "a.safetensors", network, {})
    again, _ = checkpoints.load(tmp_path / "a.safetensors", AnchorNet)
    assert torch.equal(again(boxes), network(boxes))
    assert (tmp_path / "a.safetensors").stat().st_size < 100_000


def test_boxes_are_pooled_where_they_lie():
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(24.0), indexing="ij")
    features = torch.stack((columns + 0.5, rows + 0.5))  # each cell holds its own centre
    box = torch.tensor([[0.25, 0.5, 0.75, 1.0]])
    pooled = pool(features, box)[0]
    step = (torch.arange(8) + 0.5) / 8
    assert torch.allclose(pooled[0, 3], 6 + 12 * step, atol=1e-4)
    assert torch.allclose(pooled[1, :, 3], (8 + 8 * step).clamp(max=15.5), atol=1e-4)
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        pool(features, box[0])


def test_the_sampled_gradient_is_the_exact_one_on_average():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    table = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    (exact,) = torch.autograd.grad(train.expected(logits.log_softmax(1), table), logits)
    total = torch.zeros_like(exact)
    pi = logits.detach().softmax(1)
    for first in range(3):
        for second in range(3):  # all draws, each as often as it comes
            sizes = torch.tensor([first, second])
            result = table.gather(1, sizes[:, None])[:, 0]
            loss = train.reinforce(logits.log_softmax(1), sizes, result, torch.full_like(result, 0.37))
            total += torch.autograd.grad(loss, logits)[0] * pi[0, first] * pi[1, second]
    assert torch.allclose(total, exact, atol=1e-12)


def test_unknown_losses_are_left_out():
    table = torch.tensor([[1.0, torch.nan, 3.0], [torch.nan] * 3])
    assert train.expected(torch.zeros(2, 3).log_softmax(1), table).item() == 2.0


def planted(count: int, seed: int) -> tuple[list[torch.Tensor], np.ndarray]:
    """Features that tell which size is best, and the losses."""
    rng = np.random.default_rng(seed)
    best = rng.integers(0, 3, (count, 4))
    table = rng.uniform(0.5, 1.0, (count, 4, 3)).astype(np.float32)
    np.put_along_axis(table, best[..., None], 0.1, 2)
    boxes = torch.from_numpy(rng.normal(size=(count, 4, 3, 8, 8, 8)).astype(np.float32)) * 0.3
    for number, row in enumerate(best):
        for anchor, size in enumerate(row):
            boxes[number, anchor, :, size] += 2.0
    return list(boxes), table


@pytest.fixture(scope="module", params=[0, 60])
def trained(request, tmp_path_factory):
    boxes, losses_ = planted(12, 0)
    settings = train.Settings(data="", epochs=40, lr=1e-2, budget=request.param)
    run = runs.create(tmp_path_factory.mktemp("run") / "a", "edit", settings)
    painted = []

    def score(*where: int) -> float:
        painted.append(where)
        return float(losses_[where])

    table = train.Table(run.folder / "table.npy", (12, 4, 3), score, request.param)
    events = list(train.optimize(run, boxes, table, settings, {}))
    return request.param, run, painted, events


def test_it_learns_and_new_pictures_profit(trained):
    budget, run, painted, events = trained
    assert len(painted) == len(set(painted)) <= (budget or 144)  # nothing is painted twice
    network, _ = checkpoints.load(run.folder / "last.safetensors", AnchorNet)
    boxes, table = planted(30, 1)
    scores = train.measure(network.eval(), boxes, table)
    assert scores["regret"] < 0.5 * scores["regret_of_random"]
    fixed = [float((table[..., size] - table.min(2)).mean()) for size in range(3)]
    if not budget:
        assert scores["regret"] < 0.5 * min(fixed)
    assert isinstance(events[-1], Done)


@pytest.mark.parametrize("budget", [0, 9])
def test_killed_anywhere_it_ends_with_the_same_weights_and_paints_nothing_twice(budget, tmp_path):
    """A copy of the folder in the middle of a step is what a killed process leaves."""
    boxes, losses_ = planted(4, 0)
    settings = train.Settings(data="", epochs=30, lr=1e-2, budget=budget)  # a state each epoch
    painted_again = []

    def score(*where: int) -> float:
        painted_again.append(where)
        return float(losses_[where])

    def events(run: runs.Run):
        table = train.Table(run.folder / "table.npy", (4, 4, 3), score, budget)
        return train.optimize(run, boxes, table, settings, {})

    run = runs.create(tmp_path / "whole", "edit", settings)
    places = (3, 30, 47, 75) if budget else (3, 40, 75, 120)
    event = None
    for number, event in enumerate(events(run)):  # noqa: B007
        if number in places:
            shutil.copytree(run.folder, tmp_path / f"cut{number}")
    assert isinstance(event, Done)
    painted = len(painted_again)
    for number in places:
        cut = runs.Run(tmp_path / f"cut{number}")
        before = train.Table(cut.folder / "table.npy", (4, 4, 3), score, budget).painted
        painted_again.clear()
        assert isinstance(list(events(cut))[-1], Done)
        assert len(painted_again) == painted - (~np.isnan(before)).sum()
        for name in ("last.safetensors", "best.safetensors", "table.npy"):
            assert (cut.folder / name).read_bytes() == (run.folder / name).read_bytes(), (number, name)


def test_every_parameter_moves(trained):
    _, run, _, _ = trained
    with devices.seeded(0):
        first = AnchorNet(8, 3)
    last, _ = checkpoints.load(run.folder / "last.safetensors", AnchorNet)
    for (name, before), after in zip(first.named_parameters(), last.parameters(), strict=True):
        assert not torch.equal(before, after), name
    assert torch.equal(first.projection, last.projection)


def test_losses_match_their_formulas():
    rng = np.random.default_rng(0)
    edits, source, prompt, caption = rng.normal(size=(3, 8)), *rng.normal(size=(3, 8))

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    tensors = [torch.tensor(x) for x in (edits, source, prompt, caption)]
    expected = [1 - cosine(edit, prompt) for edit in edits]
    assert losses.text_image(tensors[0], tensors[2]).tolist() == pytest.approx(expected)
    expected = [1 - cosine(edit - source, prompt - caption) for edit in edits]
    assert losses.directional(*tensors).tolist() == pytest.approx(expected)
    tokens, first = rng.normal(size=(2, 5, 4)), rng.normal(size=(5, 4))

    def similar(x):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        return unit @ unit.T

    expected = [np.sqrt(np.square(similar(x) - similar(first)).mean()) for x in tokens]
    assert losses.structure(torch.tensor(tokens), torch.tensor(first)).tolist() == pytest.approx(expected)
    with pytest.raises(ValueError, match="embeddings"):
        losses.text_image(torch.zeros(2, 3), torch.zeros(4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no pictures"),
        ('{"a.png": ["x"]}', "caption, prompt"),
        ('{"../a.png": ["x", "y"]}', "no file beside"),
    ],
)
def test_wrong_data_are_one_sentence(tmp_path, text, message):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        train.read_data(tmp_path)
