import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from vision_core import checkpoints, leaves
from vision_core.devices import generator
from vision_core.events import Done, Epoch, Step
from vision_core.leaves import LeafNet, Settings
from vision_core.leaves.bundle import write_onnx
from vision_core.leaves.explain import grad_cam
from vision_core.leaves.generate import leaf
from vision_core.leaves.network import pooled
from vision_core.pictures import images
from vision_core.runs import Run, request_stop


def finish(events):
    return list(events)[-1].result


def contents(folder):
    """Every file's bytes, and what was logged of the epochs (without the time of day)."""
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".safetensors", ".json")}
    files.pop("config.json")
    epochs = [e["metrics"] for e in Run(folder).events() if e["event"] == "epoch"]
    return files, epochs


def event_is_training(event):
    return isinstance(event, Step) and bool(event.losses)


def test_a_run_has_every_documented_file_and_its_model_is_measured(trained, leaf_folder):
    names = {path.name for path in trained.iterdir()}
    expected = {"config.json", "manifest.json", "metrics.jsonl", "report.json"}
    assert names == expected | {
        f"{name}.safetensors" for name in ("best", "best_val_accuracy", "last", "model")
    }
    model, metadata = leaves.load(trained / "model.safetensors")
    manifest, report = leaves.manifest_of(Run(trained)), json.loads((trained / "report.json").read_text())
    test = manifest.of("test")
    answers, _ = leaves.predict_files(model, [leaf_folder / photo.file for photo in test])
    right = [
        answer.label == manifest.classes[photo.label]
        for (_, answer), photo in zip(answers, test, strict=True)
    ]
    assert np.mean(right) == report["test"]["accuracy"] == metadata["metrics"]["test"]["accuracy"]
    epochs = [e["metrics"] for e in Run(trained).events() if e["event"] == "epoch"]
    best = min(range(3), key=lambda i: epochs[i]["val_loss"])
    assert metadata["epoch"] == best + 1  # of the best epoch, and its metrics
    assert (
        metadata["best_epoch"]["val_accuracy"]
        == epochs[best]["val_accuracy"]
        == report["validation"]["accuracy"]
    )
    assert epochs[-1]["cross_entropy"] < epochs[0]["cross_entropy"]


def test_stopped_while_embedding_or_training_and_resumed_equals_uninterrupted(settings, trained, tmp_path):
    for steps, name in ((0, "embedding"), (7, "training")):
        cut = tmp_path / name
        events = leaves.train(cut, settings)
        next(event for event in events if steps == 0 or (event_is_training(event) and event.step > steps))
        events.close()
        assert Run(cut).process() is None
        assert isinstance(list(leaves.resume(cut))[-1], Done)
        assert contents(cut) == contents(trained)
    with pytest.raises(ValueError, match="is complete"):
        next(leaves.resume(trained))
    with pytest.raises(ValueError, match="already holds a run"):
        next(leaves.train(trained, settings))


def test_a_stop_ends_the_embedding_and_a_created_run_is_split_when_it_is_trained(settings, trained, tmp_path):
    run = leaves.create(tmp_path / "run", settings)
    assert [path.name for path in run.folder.iterdir()] == ["config.json"]
    for number in (1, 2, 3):  # each goes on where the last was stopped
        for event in leaves.resume(run.folder):
            assert event.step == number  # nothing comes after the request
            request_stop(run)
        assert run.status() == "stopped" and not (run.folder / "embeddings.safetensors").exists()
    finish(leaves.resume(run.folder))
    assert contents(run.folder) == contents(trained)


def test_without_its_split_a_run_does_not_go_on(settings, tmp_path):
    run, events = Run(tmp_path / "run"), leaves.train(tmp_path / "run", settings)
    next(event for event in events if isinstance(event, Epoch))
    events.close()
    (run.folder / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"no manifest.json, and the pictures it trained on are unknown"):
        finish(leaves.resume(run.folder))
    assert not (run.folder / "manifest.json").exists()


def test_nothing_frozen_moves_in_a_whole_training_with_evaluation(settings, tmp_path):
    """Not by caching, which would hide it: every step and every measurement runs the backbone."""
    with torch.no_grad():
        before = LeafNet(["a", "b", "c", "d"], crop=32)
        before.load_frozen()
    finish(leaves.train(tmp_path / "run", replace(settings, cache_features=False, epochs=2, unfreeze=1)))
    after, _ = checkpoints.load(
        tmp_path / "run" / "last.safetensors", LeafNet
    )  # checks the hash of the frozen
    first, last = before.features.state_dict(), after.features.state_dict()
    assert all(torch.equal(first[name], last[name]) for name in first if not name.startswith("18."))
    assert all(not torch.equal(first[name], last[name]) for name in first if name.startswith("18."))


def test_train_mode_leaves_frozen_batch_norms_alone():
    model = LeafNet(["a", "b"], unfrozen=1, crop=32).train()
    before = {name: value.clone() for name, value in model.features.state_dict().items()}
    model(torch.rand(4, 3, 64, 64, generator=generator(0)))
    moved = {
        name for name, value in model.features.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {f"18.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    model.eval().train()
    assert model.classifier.training and not model.features[0].training


@pytest.mark.parametrize(
    "change",
    [{"balance": "weights"}, {"balance": "sampling"}, {"mixup": 0.4, "label_smoothing": 0.1}],
    ids=["weights", "sampling", "mixup"],
)
def test_options_train_and_change_the_result(settings, trained, tmp_path, change):
    copy = tmp_path / "run"
    run = leaves.create(copy, replace(settings, **change))
    assert run.status() == "new"
    finish(leaves.resume(copy))
    ours, theirs = (
        checkpoints.load(f / "last.safetensors", LeafNet)[0].classifier[1].weight for f in (copy, trained)
    )
    if change == {"balance": "weights"}:  # the classes are of one size
        assert torch.allclose(ours, theirs, atol=1e-5)
    else:
        assert not torch.allclose(ours, theirs, atol=1e-3)


def test_from_scratch_everything_is_trained(settings, tmp_path):
    options = replace(settings, weights="none", cache_features=False, epochs=1)
    result = finish(leaves.train(tmp_path / "run", options))
    model, _ = leaves.load(tmp_path / "run" / "model.safetensors")
    assert model.frozen == () and all(p.requires_grad for p in model.features.parameters())
    assert result["settings"]["weights"] == "none" and result["settings"]["data"] == "drawn"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": 2.0}, "lr is 2.0"),
        ({"unfreeze": 20}, "unfreeze is 20"),
        ({"unfreeze": 1}, "only while all features are frozen"),
        ({"balance": "some"}, "balance is 'some'"),
        ({"mixup": -1.0}, "mixup is -1.0; a number from 0 to 10"),
    ],
)
def test_impossible_settings_are_refused(settings, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(settings, **change)


def test_data_that_change_or_move_away_are_a_sentence(settings, leaf_folder, tmp_path):
    moving = shutil.copytree(leaf_folder, tmp_path / "data")
    options = replace(settings, data=str(moving))
    for n, spoil in enumerate(
        (lambda: next((moving / "rust").iterdir()).unlink(), lambda: shutil.rmtree(moving))
    ):
        run = Run(tmp_path / f"run{n}")
        events = leaves.train(run.folder, options)
        next(events), events.close()
        spoil()
        with pytest.raises(ValueError, match=("has changed since the run began", "no longer in")[n]):
            finish(leaves.resume(run.folder))
        assert run.status() == "failed"
    with pytest.raises(ValueError, match="there is no folder"):
        leaves.create(tmp_path / "other", options)
    with pytest.raises(ValueError, match="does not hold the features"):
        leaves.create(tmp_path / "other", replace(settings, weights=str(tmp_path / "nothing.safetensors")))
    assert not (tmp_path / "other").exists()


def test_bundles_of_every_form_answer_alike(trained, leaf_folder, tmp_path):
    picture = images.read(next((leaf_folder / "rust").iterdir()))
    model, _ = leaves.load(trained / "model.safetensors")
    [expected] = leaves.predict(model, [picture])
    for suffix in (".zip", ".pth", ".safetensors"):
        model, metadata = leaves.load(leaves.bundle(trained, tmp_path / f"leaf{suffix}"))
        assert leaves.predict(model, [picture]) == [expected]
        assert metadata["settings"]["data"] == "drawn"  # no path of this machine
    archive = zipfile.ZipFile(tmp_path / "leaf.zip")
    assert str(leaf_folder.parent) not in archive.read("manifest.json").decode()
    assert len(archive.read("SHA256SUMS").splitlines()) == 5
    assert "| rust |" in archive.read("README.md").decode()
    with pytest.raises(ValueError, match="no known form"):
        leaves.bundle(trained, tmp_path / "leaf.bin")


@pytest.mark.slow
def test_onnx_answers_as_pytorch(trained, leaf_folder, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    small, metadata = leaves.load(trained / "model.safetensors")
    model = LeafNet(**{**small.architecture, "reduced": 24}).eval()
    model.load_state_dict(small.state_dict())
    write_onnx(model, metadata, tmp_path / "leaf.onnx")
    image = torch.rand(3, 3, 32, 32, generator=generator(4))
    session = onnxruntime.InferenceSession(tmp_path / "leaf.onnx")
    probabilities, scores = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        expected = model.judge(image)
    assert np.allclose(probabilities, expected[0], atol=1e-4) and np.allclose(scores, expected[1], rtol=1e-3)
    output = json.loads(session.get_modelmeta().custom_metadata_map["vision-core"])
    assert output["classes"] == model.classes
    with pytest.raises(ValueError, match="cannot be loaded here"):
        leaves.load(tmp_path / "leaf.onnx")


def test_strange_bundles_are_refused(trained, tmp_path):
    good = (trained / "model.safetensors").read_bytes()

    def archive(*entries):
        with zipfile.ZipFile(tmp_path / "bad.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in entries:
                file.writestr(name, data)
        return tmp_path / "bad.zip"

    for entries, sentence in (
        ([("model.safetensors", good), ("../../evil.txt", b"x")], "leads out of it"),
        ([("model.safetensors", bytes(65 << 20))], "at most 64 are accepted"),
        ([("other.txt", b"x")], "no complete model"),
        ([("model.safetensors", b"junk")], "not a complete .safetensors"),
    ):
        with pytest.raises(ValueError, match=sentence):
            leaves.load(archive(*entries))
    (tmp_path / "cut.zip").write_bytes(archive(("model.safetensors", good)).read_bytes()[:100])
    with pytest.raises(ValueError, match="no complete model"):
        leaves.load(tmp_path / "cut.zip")
    model, metadata = leaves.load(trained / "model.safetensors")
    checkpoints.save(tmp_path / "new.safetensors", model, {**metadata, "version": 4})
    with pytest.raises(ValueError, match="of version 4; this release reads version 3"):
        leaves.load(tmp_path / "new.safetensors")
    with pytest.raises(ValueError, match="is not a finished model"):
        leaves.load(trained / "best.safetensors")


def test_evaluation_counts_what_it_was_trained_on_and_classes_it_does_not_know(
    trained, leaf_folder, tmp_path
):
    folder = shutil.copytree(leaf_folder, tmp_path / "data")
    (folder / "scab").rename(folder / "mildew")
    (folder / "rot" / "note.txt").write_text("x")
    model, metadata = leaves.load(trained / "model.safetensors")
    scores = leaves.evaluate(model, folder, metadata["seen"])
    manifest = leaves.manifest_of(Run(trained))
    known = [photo for photo in manifest.photos if manifest.classes[photo.label] != "scab"]
    assert scores["images"] == 45 and scores["trained_on"] == sum(photo.split != "test" for photo in known)
    assert scores["unknown"]["mildew"]["images"] == 15 and 0 <= scores["refusal"]["auroc"] <= 1
    assert [entry["file"] for entry in scores["skipped"]] == ["rot/note.txt"]
    shutil.rmtree(folder / "rot"), shutil.rmtree(folder / "rust"), shutil.rmtree(folder / "healthy")
    with pytest.raises(ValueError, match="of which the model knows none"):
        leaves.evaluate(model, folder)


def test_predictions_skip_what_is_no_picture_in_a_folder_but_not_what_was_named(
    trained, leaf_folder, tmp_path
):
    model, _ = leaves.load(trained / "model.safetensors")
    shutil.copy(next((leaf_folder / "rot").iterdir()), tmp_path / "leaf.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"x")
    answers, skipped = leaves.predict_files(model, [tmp_path])
    assert [file for file, _ in answers] == [str(tmp_path / "leaf.jpg")]
    assert skipped[0]["file"] == str(tmp_path / "broken.jpg")
    [(_, answer)] = answers
    assert answer.probability == max(answer.probabilities.values()) and sum(
        answer.probabilities.values()
    ) == pytest.approx(1)
    for paths, sentence in (([tmp_path / "broken.jpg"], "not an image"), ([], "no picture was named")):
        with pytest.raises(ValueError, match=sentence):
            leaves.predict_files(model, paths)


def test_grad_cam_weighs_the_maps_by_the_heads_weights_and_leaves_no_trace(trained):
    model, _ = leaves.load(trained / "model.safetensors")
    image = images.to_tensor(leaf("rust", 4, 96)[0])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        maps = model.maps(image)
        usual, last = pooled(maps), maps[0][-1]  # the logits are linear in what is pooled
        steps = 1000 * torch.eye(usual.shape[1])[-last.shape[1] :]  # large: the difference is rounded less
        head = (model(usual + steps) - model(usual)).T / 1000
        shares = torch.einsum("cd,dhw->chw", head - head.mean(0), last[0]).relu()
    assert (shares.amax((1, 2)) > 0).any()
    for label, share in enumerate(shares):
        wide = torch.nn.functional.interpolate(share[None, None], (96, 96), mode="bilinear")[0, 0]
        result = grad_cam(model, image, label)[0]
        assert torch.allclose(result, wide / wide.max().clamp_min(1e-12), atol=1e-3)
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_ground_bias_is_seen_and_other_grounds_in_the_views_take_it_away(tmp_path):
    """If each class has its own background, the background predicts the class unless views replace it."""
    for _ in leaves.generate(tmp_path / "biased", 120, seed=1, size=64, biased=True):
        pass
    alone = []
    for views in (1, 2):
        run = tmp_path / f"run-{views}"
        options = Settings(
            str(tmp_path / "biased"),
            epochs=12,
            lr=0.02,
            batch_size=16,
            cache_features=True,
            crop=64,
            views=views,
        )
        finish(leaves.train(run, options))
        model, _ = leaves.load(run / "model.safetensors")
        test = leaves.manifest_of(Run(run)).of("test")
        truth = np.array([photo.label for photo in test])
        bias = leaves.ground_bias(model, tmp_path / "biased", [photo.file for photo in test], truth)
        assert 0 < bias["images"] <= len(test) and 0 <= bias["attention_outside"] <= 1
        alone.append(bias["ground_only"])
    assert alone[0] >= alone[1] + 0.2


def test_explanation_shows_picture_map_and_leaf(trained):
    model, _ = leaves.load(trained / "model.safetensors")
    rgb = leaf("rust", 4, 96, "paper")[0]
    result = leaves.explain(model, images.Picture(rgb), "scab")
    assert result.map.shape == (32, 32) and result.map.max() <= 1 and result.overlay.dtype == np.uint8
    assert leaves.side_by_side(result).shape == (32, 32 * (3 if result.outside is not None else 2), 3)
    with pytest.raises(ValueError, match="does not know 'mildew'"):
        leaves.explain(model, images.Picture(rgb), "mildew")
