"""Tests of the training loop: learning, seeds, stopping, resuming, NaN."""

import math
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vision_core.devices import generator
from vision_core.events import Epoch, Step
from vision_core.fit import fit
from vision_core.runs import Run

STEPS = 4


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.0), nn.Tanh(), nn.Linear(8, 1))


def batches(seed: int):
    """epoch -> four batches of 16 points of a plane."""

    def of(epoch: int):
        x = torch.randn(STEPS, 16, 3, generator=generator(seed, epoch))
        return [(part, part @ torch.tensor([[1.0], [-2.0], [0.5]])) for part in x]

    return of


def terms(model, batch):
    x, y = batch
    predicted = model(x)
    return {"error": F.mse_loss(predicted, y), "size": predicted.abs().mean()}


def train(model, *, seed=0, epochs=3, start=0, optimizer=None, weights=None, scheduler=None, terms=terms):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), 0.02)
    return fit(
        model,
        batches(seed),
        terms,
        optimizer,
        epochs=epochs,
        steps_per_epoch=STEPS,
        start=start,
        weights=weights or {"size": 0.0},
        scheduler=scheduler,
    )


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_events_are_steps_and_epochs():
    events = list(train(network(), epochs=2))
    assert [type(event) for event in events] == ([Step] * STEPS + [Epoch]) * 2
    assert [e.step for e in events if isinstance(e, Step)] == list(range(1, 9))
    assert {e.total for e in events if isinstance(e, Step)} == {8} and events[8].eta == 0
    assert [(e.epoch, e.epochs) for e in events if isinstance(e, Epoch)] == [(1, 2), (2, 2)]
    for name, mean in events[-1].metrics.items():
        assert mean == pytest.approx(sum(e.losses[name] for e in events[5:9]) / STEPS)


def test_it_overfits_and_moves_every_parameter():
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    events = list(train(model, epochs=120))
    assert events[-1].metrics["error"] < 0.01 * events[STEPS].metrics["error"]
    for old, new in zip(before, model.parameters(), strict=True):
        assert (old != new).all()


def test_the_first_step_is_the_one_worked_out_by_hand():
    model, twin = network(), network()
    next(train(model, optimizer=torch.optim.SGD(model.parameters(), 0.1), weights={"size": 0.25}))
    losses = terms(twin, batches(0)(1)[0])
    (losses["error"] + 0.25 * losses["size"]).backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(p, q - 0.1 * q.grad, atol=1e-7)


def test_weights_decide_and_the_total_is_their_sum():
    def after(weights):
        model = network()
        return list(train(model, weights=weights, epochs=1)), flat(model)

    events, without = after({"size": 0.0})
    for event in events[:STEPS]:
        assert event.losses["total"] == pytest.approx(event.losses["error"])
        assert event.losses["size"] > 0  # reported all the same
    events, half = after({"size": 0.5})
    assert events[0].losses["total"] == pytest.approx(
        events[0].losses["error"] + 0.5 * events[0].losses["size"]
    )
    _, missing = after({"error": 1.0})
    assert torch.equal(missing, after({"size": 1.0})[1])  # a weight that is not named is 1
    assert not torch.equal(without, half) and not torch.equal(half, missing)
    model = network()
    list(
        train(model, weights={"error": 0.0, "size": 0.0}, optimizer=torch.optim.SGD(model.parameters(), 0.1))
    )
    assert torch.equal(flat(model), flat(network()))


def test_the_seed_decides():
    def after(seed):
        model = network()
        list(train(model, seed=seed))
        return flat(model)

    assert torch.equal(after(1), after(1)) and not torch.equal(after(1), after(2))


def test_resumed_training_is_the_uninterrupted_one():
    def parts():
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5 * STEPS)

    model, optimizer, scheduler = parts()
    whole = list(train(model, epochs=5, optimizer=optimizer, scheduler=scheduler))
    first, optimizer, scheduler = parts()
    list(islice(train(first, epochs=5, optimizer=optimizer, scheduler=scheduler), 2 * (STEPS + 1)))
    states = [part.state_dict() for part in (first, optimizer, scheduler)]
    again = parts()
    for part, state in zip(again, states, strict=True):
        part.load_state_dict(state)
    rest = list(train(again[0], epochs=5, start=2, optimizer=again[1], scheduler=again[2]))
    assert torch.equal(flat(again[0]), flat(model))
    assert [e.losses for e in rest if isinstance(e, Step)] == [
        e.losses for e in whole[2 * (STEPS + 1) :] if isinstance(e, Step)
    ]
    assert rest[0].step == 2 * STEPS + 1 and rest[0].total == 5 * STEPS


def test_leaving_early_keeps_what_was_learned():
    model, twin = network(), network()
    stream = train(model)
    for _ in range(3):
        next(stream)
    stream.close()
    list(islice(train(twin), 3))
    assert torch.equal(flat(model), flat(twin)) and not torch.equal(flat(model), flat(network()))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_the_step_and_keeps_the_weights(value):
    model, twin = network(), network()
    events = []

    def breaks(model, batch):
        events.append(len(events))
        return {"error": terms(model, batch)["error"] * (value if len(events) == 6 else 1.0)}

    with pytest.raises(FloatingPointError, match=rf"the loss is {value} at step 6"):
        list(train(model, terms=breaks))
    list(islice(train(twin), STEPS + 1 + 1))
    assert torch.equal(flat(model), flat(twin))


def test_a_gradient_that_is_no_number_is_caught_before_it_is_applied():
    """The square root of 0 is a good loss with an infinite slope: one step would make every weight NaN."""
    model = network()

    def terms(model, batch):
        return {"error": model(batch[0]).sub(model(batch[0])).square().sum().sqrt()}

    with pytest.raises(FloatingPointError, match="the gradient is nan at step 1"):
        list(train(model, terms=terms))
    assert torch.equal(flat(model), flat(network()))


def test_events_come_with_gradients_on_and_the_model_back_in_train_mode():
    model = network()
    for event in train(model, epochs=1):
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        if isinstance(event, Step):
            assert model.training
        model.eval()  # as a caller who draws a preview does


@pytest.mark.parametrize(("steps", "message"), [(3, "more than 3 batches"), (5, "4 batches, not 5")])
def test_refuses_another_number_of_batches(steps, message):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match=message):
        list(fit(model, batches(0), terms, optimizer, epochs=1, steps_per_epoch=steps))


def test_a_clipped_step_is_as_long_as_the_clip():
    model, twin = network(), network()
    for one, clip in ((model, 0.01), (twin, 1e9)):
        optimizer = torch.optim.SGD(one.parameters(), 1.0)
        next(fit(one, batches(0), terms, optimizer, epochs=1, steps_per_epoch=STEPS, clip=clip))
    clipped, free = (flat(one) - flat(network()) for one in (model, twin))
    assert clipped.norm().item() == pytest.approx(0.01, rel=1e-4)
    assert torch.allclose(clipped / clipped.norm(), free / free.norm(), atol=1e-5)


def test_accumulated_batches_are_one_large_batch():
    def halves(epoch):
        return [(x[part], y[part]) for x, y in batches(0)(epoch) for part in (slice(8), slice(8, 16))]

    results = []
    for data, accumulate in ((batches(0), 1), (halves, 2)):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        stream = fit(model, data, terms, optimizer, epochs=2, steps_per_epoch=STEPS, accumulate=accumulate)
        results.append(([e.losses for e in stream if isinstance(e, Step)], flat(model)))
    (whole, first), (halved, second) = results
    assert torch.allclose(first, second, atol=1e-6) and len(whole) == len(halved) == 2 * STEPS
    assert [e["error"] for e in halved] == pytest.approx([e["error"] for e in whole], rel=1e-4)


def test_frozen_parameters_stay_and_need_no_gradient():
    model = network()
    for p in model[0].parameters():
        p.requires_grad_(False)
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), 0.02)
    list(fit(model, batches(0), terms, optimizer, epochs=1, steps_per_epoch=STEPS, clip=1.0))
    for old, new in zip(network()[0].parameters(), model[0].parameters(), strict=True):
        assert torch.equal(old, new)
    assert not torch.equal(network()[3].weight, model[3].weight)


SCRIPT = """
import sys
import torch
from accelerate import Accelerator
from test_training import batches, network, terms
from test_runs import Settings
from vision_core import runs
from vision_core.events import Epoch
from vision_core.fit import fit
from vision_core.recording import record

accelerator = Accelerator(cpu=True)
out = sys.argv[1]
run = runs.create(f"{out}/run", "digits", Settings())
model = network()
optimizer = torch.optim.SGD(model.parameters(), 0.05)
stream = fit(model, batches(0), terms, optimizer, epochs=50, steps_per_epoch=4, accelerator=accelerator)
seen = []
for event in record(run, stream):
    seen.append(event)
    if accelerator.is_main_process and isinstance(event, Epoch) and event.epoch == 3:
        runs.request_stop(run)
losses = [event.losses for event in seen if hasattr(event, "losses")]
torch.save((accelerator.num_processes, model.state_dict(), losses), f"{out}/{accelerator.process_index}.pt")
torch.distributed.destroy_process_group()  # or its threads may abort the process at its end
"""


@pytest.mark.slow
def test_two_processes_train_one_model_and_stop_together(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent), str(Path(__file__).parents[1])])
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]  # what accelerate runs
    launch += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0", "--local_addr", "127.0.0.1"]
    launch += ["-m", "script", str(tmp_path)]
    process = subprocess.run(launch, env=env, capture_output=True, text=True, timeout=150)
    assert process.returncode == 0, process.stderr
    (count, first, losses), (_, second, others) = (torch.load(tmp_path / f"{n}.pt") for n in (0, 1))
    assert count == 2 and losses == others and 3 * STEPS <= len(losses) <= 3 * STEPS + 1
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    alone = fit(model, batches(0), terms, optimizer, epochs=50, steps_per_epoch=STEPS)
    steps = [event for event in islice(alone, len(losses) + 3) if isinstance(event, Step)]
    for name, value in model.state_dict().items():
        assert torch.equal(first[name], second[name])
        assert torch.allclose(first[name], value, atol=1e-5)
    assert losses[-1]["error"] == pytest.approx(steps[-1].losses["error"], rel=1e-4)
    assert [e["event"] for e in Run(tmp_path / "run").events()] == [
        "start",
        *(["step"] * STEPS + ["epoch"]) * 3,
        "stopped",
    ]


def test_an_average_of_weights_keeps_infinite_buffers():
    from vision_core.training import _moving_average

    class Masked(nn.Linear):
        def __init__(self):
            super().__init__(3, 3)
            self.register_buffer("mask", torch.full((2, 2), float("-inf")).triu(1), persistent=False)

    model = Masked()
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=_moving_average(0.9), use_buffers=True)
    for _ in range(4):
        with torch.no_grad():
            model.weight += 1
        average.update_parameters(model)
    assert torch.equal(average.module.mask, model.mask)
    assert (average.module.weight < model.weight).all() and average.module.weight.isfinite().all()
