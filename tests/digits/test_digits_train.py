import json
import threading
from dataclasses import replace
from itertools import takewhile

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from vision_core import checkpoints, digits
from vision_core.digits import DigitNet, Settings
from vision_core.digits.measure import one_thread
from vision_core.digits.train import _batches, weights_file
from vision_core.events import Done, Epoch, Step
from vision_core.runs import Run


def contents(folder):
    """Every file's bytes, and what was logged of the epochs (without the time of day)."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("metrics.jsonl", "config.json")
    }
    return files, digits.history(Run(folder))


def finish(events):
    return list(events)[-1].result


def test_run_has_every_documented_file(trained):
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "last.safetensors",
        "best.safetensors",
        "final_model_weights.pth",
        *(f"epoch_weights/epoch_{n}_weights.pth" for n in range(4)),
        *(f"activations/epoch_{n}.npz" for n in range(4)),
        *(f"batch_weights/batch_{n}{end}" for n in (1, 2) for end in ("_weights.pth", ".json")),
    }
    plain = torch.load(trained / "final_model_weights.pth", weights_only=True)
    assert plain["model_state_dict"].keys() == DigitNet().state_dict().keys()
    assert plain["metadata"]["epoch"] == 3
    assert Run(trained).status() == "done"


def test_trainings_that_overlap_leave_everybody_else_their_threads(settings, tmp_path):
    before, threads = torch.get_num_threads(), []
    torch.set_num_threads(3)
    try:
        streams = [digits.train(tmp_path / name, settings) for name in "ab"]
        for _ in range(3):
            for stream in streams:
                next(stream)
                other = threading.Thread(target=lambda: threads.append(torch.get_num_threads()))
                other.start()
                other.join()
                threads.append(torch.get_num_threads())
        streams[0].close()
        inside = threading.Thread(target=lambda: threads.append(torch.get_num_threads()))
        with one_thread():
            assert torch.get_num_threads() == 1
            inside.start()  # a thread of the server that begins to compute meanwhile
            inside.join()
        streams[1].close()
        assert {*threads, torch.get_num_threads()} == {3}
    finally:
        torch.set_num_threads(before)


def test_one_seed_gives_the_same_bytes_and_another_others(settings, tmp_path):
    finish(digits.train(tmp_path / "a", settings))
    finish(digits.train(tmp_path / "b", settings))
    finish(digits.train(tmp_path / "c", replace(settings, seed=1)))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    first, other = (
        checkpoints.load(weights_file(Run(tmp_path / name), 0), DigitNet)[0].state_dict() for name in "ac"
    )
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_the_callers_random_numbers_alone(settings, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    finish(digits.train(tmp_path / "a", settings))
    assert torch.equal(torch.rand(3), expected)


def test_measurements_match_scikit_learn_and_epoch_0_is_untrained(trained, tiny):
    data, run = digits.load(tiny), Run(trained)
    epochs = digits.history(run)
    assert [event.epoch for event in epochs] == [0, 1, 2, 3]
    for event in epochs:
        model, metadata = checkpoints.load(weights_file(run, event.epoch), DigitNet)
        with torch.no_grad():
            logits = {name: model(getattr(data, name).images / 255) for name in ("train", "val", "test")}
        truth, predicted = data.test.labels, logits["test"].argmax(1)
        got = event.metrics
        assert got["confusion"] == confusion_matrix(truth, predicted, labels=range(10)).tolist()
        assert (
            got["test_accuracy"] == accuracy_score(truth, predicted) == metadata["metrics"]["test_accuracy"]
        )
        assert got["per_class"] == pytest.approx(
            confusion_matrix(truth, predicted, normalize="true").diagonal()
        )
        for key, name in (("loss", "train"), ("val_loss", "val")):
            labels = getattr(data, name).labels
            expected = log_loss(labels, logits[name].double().softmax(1), labels=range(10))
            assert got[key] == pytest.approx(expected, rel=1e-4)
    assert epochs[0].metrics["loss"] == pytest.approx(np.log(10), abs=0.1)  # knows nothing, and says so
    assert epochs[3].metrics["loss"] < 0.7 * epochs[0].metrics["loss"]


def test_activations_are_the_networks_answers_to_one_test_image_of_each_digit(trained, tiny):
    model, _ = checkpoints.load(weights_file(Run(trained), 2), DigitNet)
    with np.load(trained / "activations" / "epoch_2.npz", allow_pickle=False) as file:
        stored = {name: torch.from_numpy(file[name]) for name in file.files}
    images = stored.pop("images")
    assert torch.equal(images, digits.load(tiny).test.first(1))
    with torch.no_grad():
        expected = model.layers(images / 255)
    assert stored.keys() == expected.keys()
    assert all(torch.allclose(stored[name], expected[name], atol=1e-5) for name in stored)


def test_every_parameter_moves_and_one_batch_is_learnt_by_heart(tiny, tmp_path):
    settings = Settings(str(tiny), epochs=40, batches=1, batch_size=220, lr=0.02)
    result = finish(digits.train(tmp_path / "run", settings))
    assert result["metrics"]["train_accuracy"] == 1
    before, after = (
        checkpoints.load(weights_file(Run(tmp_path / "run"), n), DigitNet)[0].state_dict() for n in (0, 3)
    )
    assert not any(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("steps", [0, 1, 7, 12])
def test_stopped_and_resumed_equals_uninterrupted(settings, tmp_path, steps):
    finish(digits.train(tmp_path / "whole", settings))
    events = digits.train(tmp_path / "cut", settings)
    taken = list(takewhile(lambda event: not (isinstance(event, Step) and event.step > steps), events))
    events.close()
    assert Run(tmp_path / "cut").status() == "stopped"
    assert (tmp_path / "cut" / "resume.pt").exists() and any(isinstance(event, Epoch) for event in taken)
    rest = list(digits.resume(tmp_path / "cut"))
    assert isinstance(rest[-1], Done)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_stopped_before_anything_was_measured(settings, tmp_path):
    finish(digits.train(tmp_path / "whole", settings))
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "config.json").write_bytes((tmp_path / "whole" / "config.json").read_bytes())
    finish(digits.resume(tmp_path / "cut"))
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, "epochs is 0; a number from 1 to 10,000,000 was expected"),
        ({"batches": -1}, "batches is -1"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_settings_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        Settings(**change)


def test_more_batches_than_the_data_hold_are_refused_and_leave_no_folder(settings, tmp_path):
    with pytest.raises(ValueError, match="220 images make 7 batches of 32, not 8"):
        finish(digits.train(tmp_path / "run", replace(settings, batches=8)))
    assert not (tmp_path / "run").exists()


def test_an_epoch_draws_no_image_twice_and_the_next_one_others(tiny):
    split = digits.load(tiny).train
    batches = [
        torch.cat([x for x, _ in _batches(split, Settings(batch_size=32), 4, epoch)]) for epoch in (1, 2, 1)
    ]
    assert [len({image.numpy().tobytes() for image in images}) for images in batches] == [128] * 3
    assert torch.equal(batches[0], batches[2])
    assert not torch.equal(batches[0], batches[1])


def test_all_images_are_seen_once_without_a_number_of_batches(settings, tmp_path):
    events = list(digits.train(tmp_path / "run", replace(settings, batches=0, epochs=1)))
    assert sum(isinstance(event, Step) for event in events) == 7


def test_a_run_is_not_overwritten_nor_a_complete_one_resumed(trained, settings, tmp_path):
    with pytest.raises(ValueError, match="already holds a run"):
        finish(digits.train(trained, settings))
    with pytest.raises(ValueError, match="is complete: there is nothing to resume"):
        finish(digits.resume(trained))
    with pytest.raises(ValueError, match="there is no file"):
        finish(digits.resume(tmp_path / "nothing"))
    digits.train(tmp_path / "cut", settings).send(None)
    torch.save({"weights": 1}, tmp_path / "cut" / "resume.pt")
    with pytest.raises(ValueError, match="lacks epoch"):
        finish(digits.resume(tmp_path / "cut"))
    (tmp_path / "config.json").write_text(json.dumps({"system": "color"}))
    with pytest.raises(ValueError, match="is a run of"):
        finish(digits.resume(tmp_path))
