"""Tests that the networks of the small world learn and open in common libraries."""

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from vision_core import checkpoints
from vision_core.editing.find.saliency import Saliency, stands_out
from vision_core.smallworld import (
    clip,
    data,
    dino,
    evaluate,
    examples,
    grammar,
    hiding,
    judge,
    painter,
    tokens,
    train,
    world,
)

SMALL = {  # the same networks, smaller
    "autoencoder": {"width": 8},
    "clip": {"embed": 32, "width": 8, "text_width": 32, "text_layers": 1},
    "dino": {"width": 32, "layers": 1, "directions": 64},
    "judge": {"width": 8},
    "painter": {"channels": (16, 32, 32), "text_width": 48, "text_layers": 1},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """An untrained, small network of each kind, exported."""
    out = tmp_path_factory.mktemp("models")
    for name in train.NETWORKS:
        network = train.NETWORKS[name]
        torch.manual_seed(0)
        network.save_pretrained(network.Network(**SMALL[name]).eval(), settings(name, out), out)
    return out


def settings(name: str, models: Path | None) -> train.Settings:
    vae = str(models / "inpainting" / "vae") if models else "nowhere"
    changes = {"batch_size": 4, "steps": 1, "scenes": 8}
    return train.defaults(name, changes | ({"autoencoder": vae} if name == "painter" else {}))


@pytest.mark.parametrize("name", train.NETWORKS)
def test_a_network_learns_a_batch_and_all_of_it_moves(name, models):
    network = train.NETWORKS[name]
    torch.manual_seed(1)
    model = network.Network(**SMALL[name]).train()
    (batch,) = network.batches(settings(name, models), 1)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(40 if name == "dino" else 20):
        loss = torch.stack([*network.terms(model, batch).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    still = [n for n, p in model.named_parameters() if n in before and torch.equal(p, before[n])]
    assert still == []
    if name == "dino":  # which rises at first, until the centre of the answers is known
        assert losses[-1] < 0.95 * max(losses)
    else:
        assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_batches_are_a_function_of_seed_and_epoch(models):
    for name, network in train.NETWORKS.items():
        (first,), (again,), (other,) = (network.batches(settings(name, models), epoch) for epoch in (1, 1, 2))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True)), name
        assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True)), name


@pytest.mark.parametrize("name", ["judge", "dino"])  # buffers, and a teacher that follows
def test_a_stopped_run_goes_on_to_the_same_bytes(name, tmp_path, monkeypatch):
    network = train.NETWORKS[name]
    monkeypatch.setattr(network, "TESTED", 2)
    options = replace(settings(name, None), epochs=4, batch_size=2)
    for _ in train.train(tmp_path / "whole", options):
        pass
    events = train.train(tmp_path / "parts", options)
    for event in events:
        if getattr(event, "step", 0) == 2:
            events.close()
    for _ in train.resume(tmp_path / "parts"):
        pass
    whole, parts = (tmp_path / name / "last.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()
    _, model = train.load(tmp_path / "whole")
    assert not model.training


def test_pictures_are_drawn_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CHUNK", 4)
    kept = data.pictures(6, 4, tmp_path)
    assert np.array_equal(kept, data.pictures(6, 4))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")}
    assert len(files) == 2 and np.array_equal(data.pictures(7, 1, tmp_path), kept[1:2])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.npy")} == files


def test_examples_from_the_cache_are_the_examples(models, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CHUNK", 2)
    vae = str(models / "inpainting" / "vae")
    whole, kept, again = (examples.Examples(vae, cache, 3) for cache in (None, str(tmp_path), str(tmp_path)))
    whole.fill(3)
    kept.fill(1)
    assert kept.filled == 2
    kept.fill(3, workers=2)
    monkeypatch.setattr(examples, "encode", None)
    again.fill(3)
    for name in ("latents", "boxes", "texts", "allowed"):
        assert torch.equal(getattr(whole, name), getattr(kept, name)), name
        assert torch.equal(getattr(whole, name), getattr(again, name)), name


def test_latents_of_what_is_left_are_those_of_the_picture_with_a_grey_box(models):
    source = examples.Examples(str(models / "inpainting" / "vae"), None, 2)
    source.fill(2)
    vae, _ = examples.load_autoencoder(source.autoencoder)
    images = data.drawn([world.wild(number) for number in range(2)]) / 255
    top, bottom, left, right = source.boxes[1, 3].tolist()
    images[1, :, top:bottom, left:right] = 0.5
    with torch.inference_mode():
        expected = vae.encoder(images * 2 - 1) * vae.config.scaling_factor
    assert torch.allclose(source.latents[0, 0].float(), expected[0], atol=0.05)  # bfloat16
    assert torch.allclose(source.latents[1, 4].float(), expected[1], atol=0.05)


@pytest.mark.parametrize("name", ["painter", "autoencoder"])
def test_workers_change_the_speed_alone(name, models, tmp_path):
    options = replace(settings(name, models), steps=3, cache=str(tmp_path / "cache"))
    network, data_chunk = train.NETWORKS[name], data.CHUNK
    data.CHUNK = 8
    try:
        alone, helped = (
            list(network.batches(replace(options, workers=n, cache=None if n == 0 else options.cache), 2))
            for n in (0, 2)
        )
    finally:
        data.CHUNK = data_chunk
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_scenes_with_withheld_pairs_are_never_picked(models):
    source = examples.Examples(str(models / "inpainting" / "vae"), None, 40)
    wild = [world.wild(number) for number in range(40)]
    source.fill(40)
    assert source.allowed.tolist() == [not hiding.withheld(scene) for scene in wild]
    assert 0 < source.allowed.sum() < 40
    source.allowed[:] = False
    with pytest.raises(ValueError, match="all 8 scenes contain withheld combinations"):
        painter._batch(settings("painter", models), source, 9, 0)


def test_every_word_of_the_world_is_one_token():
    encode = tokens.tokenizer()
    assert [word for word in grammar.words() if len(encode(word).input_ids) != 3] == []
    ids = encode("A Purple zebra").input_ids
    assert len(ids) > 5 and max(ids) == ids[-1] == tokens.size() - 1
    longest = (
        "a large hot air balloon in the middle, " * 2 + "a large flowering tree on the right in the mountains"
    )
    assert len(encode(longest + " on a sunny day").input_ids) <= tokens.LENGTH


def test_diffusers_opens_the_painter_and_paints(models):
    from diffusers import AutoPipelineForInpainting

    pipeline = AutoPipelineForInpainting.from_pretrained(models / "inpainting", dtype=torch.float32)
    assert pipeline.unet.config["in_channels"] == 9 and pipeline.vae_scale_factor == 8
    pipeline.set_progress_bar_config(disable=True)
    picture, mask = world.render(world.scene(3)), np.zeros((128, 128), bool)
    mask[40:90, 30:80] = True
    painted = [
        evaluate.paint(pipeline, picture, mask, text, 0, steps=2)
        for text in ("a red house", "a rock", "a red house")
    ]
    assert painted[0].shape == (128, 128, 3)
    assert np.array_equal(painted[0], painted[2]) and not np.array_equal(painted[0], painted[1])


def test_our_sampler_is_the_pipelines(models):
    """The same latents as diffusers' pipeline from the same noise, which is how previews can be trusted."""
    from diffusers import AutoPipelineForInpainting
    from PIL import Image

    pipeline = AutoPipelineForInpainting.from_pretrained(models / "inpainting", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    model = painter.Network(**SMALL["painter"])
    model.unet, model.text_encoder = pipeline.unet, pipeline.text_encoder
    picture, mask = world.render(world.scene(3)), np.zeros((128, 128), np.uint8)
    mask[32:96, 32:96] = 255
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    theirs = pipeline(
        "a tent",
        image=Image.fromarray(picture),
        mask_image=Image.fromarray(mask),
        latents=noise,
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="latent",
    ).images
    hidden = torch.from_numpy(mask > 0)[None, None]
    image = (torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255).masked_fill(hidden, 0.5)
    left = pipeline.vae.encoder(image * 2 - 1) * pipeline.vae.config.scaling_factor
    ours = painter.sample(
        model.eval(), left, hidden[:, :, ::8, ::8].float(), clip.tokenize(["a tent"]), noise, 4
    )
    assert torch.allclose(ours, theirs, atol=1e-3)


def test_scaled_latents_have_unit_size(models):
    vae, _ = examples.load_autoencoder(str(models / "inpainting" / "vae"))
    latents = vae.encoder(data.images(0, 32) * 2 - 1) * vae.config.scaling_factor
    assert latents.std().item() == pytest.approx(1, abs=0.01)


def test_a_folder_without_an_autoencoder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="contains no autoencoder"):
        next(painter.batches(replace(settings("painter", None), autoencoder=str(tmp_path)), 1))


def test_what_is_hidden_is_what_is_said():
    for seed in range(120):
        scene = world.wild(seed)
        masks = world.masks(scene)
        (top, bottom, left, right), description = hiding.hide(scene, masks, Random(seed))
        assert 0 <= top < bottom <= 128 and 0 <= left < right <= 128
        assert replace(description, empty=False).true_of(scene)  # empty is the box
        if description.empty and description.phrases == ():
            inside = [it[top:bottom, left:right].sum() / max(it.sum(), 1) for it in masks]
            assert max(inside, default=0) <= 0.6


def test_a_box_is_a_mask_of_every_eighth_pixel():
    mask = examples.box_masks(torch.tensor([[[0, 128, 0, 128], [5, 20, 64, 65]]], dtype=torch.int16), 8)
    assert mask.shape == (1, 2, 1, 16, 16) and mask[0, 0].all()
    assert torch.nonzero(mask[0, 1, 0]).tolist() == [[1, 8], [2, 8]]


def test_open_clip_opens_the_clip(models):
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{models / 'clip'}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{models / 'clip'}")
    torch.manual_seed(0)
    ours = clip.Network(**SMALL["clip"]).eval()
    texts = ["a tree with pink flowers", "a rock"]
    assert torch.equal(tokenizer(texts), clip.tokenize(texts))
    from PIL import Image

    picture = world.render(world.scene(4))
    image_features = model.eval().encode_image(preprocess(Image.fromarray(picture))[None], True)
    image = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255
    expected, text_features, _ = ours(image, clip.tokenize(texts))
    assert torch.allclose(image_features, expected, atol=5e-3)
    assert torch.allclose(model.encode_text(tokenizer(texts), True), text_features, atol=5e-3)


def test_transformers_opens_the_dino(models):
    from transformers import AutoImageProcessor, ViTModel

    vit = ViTModel.from_pretrained(models / "dino", dtype=torch.float32, add_pooling_layer=False).eval()
    picture = world.render(world.scene(4))
    ready = AutoImageProcessor.from_pretrained(models / "dino")(picture, return_tensors="pt")["pixel_values"]
    assert ready.shape == (1, 3, 96, 96) and -1 <= ready.min() < ready.max() <= 1
    (ours,) = dino.saliency(vit, torch.from_numpy(picture.copy()).permute(2, 0, 1)[None])
    assert ours.shape == (12, 12) and ours.min() == 0 and ours.max() == 1
    theirs = Saliency(models / "dino", "cpu").look(picture)
    assert np.allclose(ours, theirs.saliency, atol=0.02) and theirs.features.shape == (32, 12, 12)
    mirrored = Saliency(models / "dino", "cpu").look(picture[:, ::-1].copy())
    assert np.allclose(mirrored.saliency[:, ::-1], theirs.saliency, atol=1e-4)


def test_what_is_attended_to_and_unlike_the_rest_stands_out():
    """Features decide where attention is even, and attention where two places are equally unlike the rest."""
    even, features = torch.full((2, 9, 9), 0.01), torch.zeros(4, 9, 9)
    features[:, 6, 3] = 1
    assert np.argmax(stands_out(even, features)) == 6 * 9 + 3
    features[:, 2, 6] = 1
    heads = even.clone()
    heads[:, 2, 6] = 0.5
    assert np.argmax(stands_out(heads, features)) == 2 * 9 + 6


def test_a_decoder_can_go_on_learning_while_the_latents_stay(models, tmp_path):
    """Exported again, the encoder and its scale are what they were, and the decoder is another."""
    from diffusers import AutoencoderTiny

    vae = models / "inpainting" / "vae"
    changes = {"batch_size": 4, "steps": 2, "epochs": 1, "scenes": 8, "autoencoder": str(vae), "lr": 1e-2}
    list(train.train(tmp_path / "run", train.defaults("autoencoder", changes)))
    train.export(tmp_path / "run", tmp_path)
    old, new = (AutoencoderTiny.from_pretrained(at) for at in (vae, tmp_path / "inpainting" / "vae"))
    assert new.config.scaling_factor == old.config.scaling_factor
    changed = [n for n, p in new.named_parameters() if not torch.equal(p, old.get_parameter(n))]
    assert changed and all(name.startswith("decoder.") for name in changed)
    assert len(changed) == len([*old.decoder.parameters()])


def test_features_of_a_clip_teach_the_decoder_alone(models):
    """Nothing is asked where the picture came back; any error reaches every weight of the decoder."""
    network = train.NETWORKS["autoencoder"]
    changes = {"autoencoder": str(models / "inpainting" / "vae"), "clip": str(models / "clip")}
    options = replace(settings("autoencoder", models), **changes)
    model = train.initial(options).train()
    (batch,) = network.batches(options, 1)
    features = network.terms(model, batch)["features"]
    features.backward()
    assert features.item() > 0 and all(p.grad.abs().sum() > 0 for p in model.net.decoder.parameters())
    assert all(p.grad is None for p in model.net.encoder.parameters())
    model.encode, model.decode = (lambda images: images), (lambda latents: latents)
    exact = (batch[0], torch.zeros(()), batch[2])
    assert network.terms(model, exact)["features"].item() == 0
    model.clip = None
    assert "features" not in network.terms(model, exact)


@pytest.mark.parametrize("name", ["clip", "painter"])
def test_a_training_can_begin_with_what_was_exported(name, models):
    folder = models / {"clip": "clip", "painter": "inpainting"}[name]
    begun = train.initial(replace(settings(name, models), start=str(folder))).state_dict()
    torch.manual_seed(0)
    saved = train.NETWORKS[name].Network(**SMALL[name]).state_dict()
    assert begun.keys() == saved.keys()
    kept = [key for key in saved if not key.startswith("head.")]  # the head of a CLIP is not exported
    assert all(torch.allclose(begun[key].float(), saved[key].float(), atol=1e-3) for key in kept)


def test_a_training_can_begin_with_the_weights_of_another(models):
    file = models / "judge.safetensors"
    begun = train.initial(replace(settings("judge", models), start=str(file))).state_dict()
    saved = checkpoints.load(file, judge.Network)[0].state_dict()
    assert begun.keys() == saved.keys() and all(torch.equal(begun[key], saved[key]) for key in saved)


def test_pointing_is_at_the_right_row_and_column():
    thing = world.Thing("tent", "red", "large", "left", 4)
    scene = world.Scene("meadow", "day", (thing,), 1)
    rows, columns = np.nonzero(world.masks(scene)[0])
    for size in (12, 16):
        saliency = np.zeros((size, size))
        saliency[int(rows.mean() * size) // 128, int(columns.mean() * size) // 128] = 1
        assert dino.points_at_main(saliency, scene) and not dino.points_at_main(saliency.T, scene)


def test_the_judge_is_asked_for_kind_colour_and_place(models):
    model, _ = checkpoints.load(models / "judge.safetensors", judge.Network)
    scene = world.scene(1, things=2)
    facts = judge.truth(scene)
    assert len(facts) == 8 and facts[-2:] == [*facts[-2:]]
    predicted = judge.answers(model.eval(), data.images(0, 2))
    assert predicted.shape == (2, 8) and predicted[:, ::2][:, :3].max() < 1 + len(grammar.KINDS)
    for thing in scene.things:
        at = 2 * list(grammar.PLACES).index(thing.place)
        assert grammar.KINDS[facts[at] - 1] == thing.kind and judge.TONES[facts[at + 1]] == thing.colour


def test_withheld_things_are_never_painted_in_training():
    for k in range(30):
        _, new, index = evaluate.task(Random(k), withheld=k % 2 == 1)
        thing = new.things[index]
        assert ((thing.kind, thing.colour) in hiding.WITHHELD) == (k % 2 == 1)
        assert hiding.withheld(new) or k % 2 == 0
        assert grammar.parse(evaluate.prompt(thing)).true_of(new) and not hiding.withheld(
            world.Scene("sea", "day", (world.Thing("rock", "grey", "small", "left"),))
        )


def test_settings_are_checked():
    with pytest.raises(ValueError, match="network is 'gan'"):
        train.Settings("gan")
    with pytest.raises(ValueError, match="name its folder"):
        train.Settings("painter")
    with pytest.raises(ValueError, match="workers is -1"):
        train.Settings("clip", workers=-1)
    with pytest.raises(ValueError, match="schedule is 'step'; constant or cosine was expected"):
        train.Settings("clip", schedule="step")
    with pytest.raises(ValueError, match="steps is 0"):
        train.Settings("clip", steps=0)


def test_the_learning_rate_rises_and_stays_or_falls():
    options = train.Settings("judge", epochs=2, steps=50, warmup=10)
    rates = [train._rate(options, step) for step in range(100)]
    assert rates[:2] == [0.1, 0.2] and set(rates[9:]) == {1}
    rates = [train._rate(replace(options, schedule="cosine"), step) for step in range(100)]
    assert max(rates) == rates[9] > 0.95 and rates[50] == pytest.approx(0.5) and rates[99] < 0.001
