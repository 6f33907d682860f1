"""The CLIP of the small world: pictures and captions in one space, in the form of open_clip.

Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision". Since
the truth is known, captions that happen to be true of another picture of the batch are no negatives, and
captions of scenes that differ in one attribute are added as hard ones.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.devices import generator
from vision_core.editing.tiny import data, tokens, world
from vision_core.torchvision_cpu import prepare

EVERY, TESTED, HARD, RIVALS = 10, 24, 2, 64
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class Network(nn.Module):
    """open_clip's CLIP: a ViT over patches of 16, its tokens averaged, and a small text transformer."""

    def __init__(self, embed: int = 256, width: int = 192, layers: int = 6, text_layers: int = 3) -> None:
        prepare()
        from open_clip.model import CLIP

        super().__init__()
        self.architecture = {"embed": embed, "width": width, "layers": layers, "text_layers": text_layers}
        self.config = {
            "embed_dim": embed,
            "vision_cfg": {
                "image_size": data.SIDE,
                "patch_size": 16,
                "width": width,
                "layers": layers,
                "head_width": 48,
                "pool_type": "avg",
            },
            "text_cfg": {
                "context_length": tokens.LENGTH,
                "vocab_size": tokens.size(),
                "hf_tokenizer_name": "tokenizer",  # open_clip takes the one beside the configuration
                "width": 128,
                "heads": 4,
                "layers": text_layers,
            },
        }
        self.net = CLIP(**self.config)

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, 128, 128) in [0, 1] and token ids (C, 40) -> unit vectors (B, E), (C, E), and the scale."""
        scale = self.net.logit_scale.clamp(max=4.6).exp()
        seen, said = self.net.encode_image(images * 2 - 1, True), self.net.encode_text(texts, True)
        return seen, said, scale


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pictures (B, 3, 128, 128) uint8, tokens (B (1 + HARD), 40) and what is true of what.

    The first B captions are the pictures' own, the others of variants of their scenes.
    """
    drawn = generator(settings.seed, epoch)
    for numbers in data.draws(settings, drawn):
        random = Random(int(torch.randint(1 << 62, (1,), generator=drawn)))
        scenes = [world.scene(number) for number in numbers]
        captions, rivals = [], []
        for scene in scenes:
            part = random.getrandbits(32)
            captions.append(world.describe_part(scene, Random(part)))
            variants = world.variants(scene)
            rivals += [world.describe_part(it, Random(part)) for it in random.sample(variants, HARD)]
        captions += rivals
        texts = [caption.reworded(random) for caption in captions]
        true = torch.tensor([[caption.true_of(scene) for caption in captions] for scene in scenes])
        images = torch.stack([data.image(number, settings.cache) for number in numbers])
        yield images, tokenize(texts), true


def tokenize(texts: list[str]) -> Tensor:
    """(len(texts), 40) token ids, padded with END."""
    encoded = tokens.tokenizer()(
        texts, padding="max_length", truncation=True, max_length=tokens.LENGTH, return_tensors="pt"
    )
    return encoded.input_ids


def terms(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """Cross-entropy of each picture among all captions, and of its caption among all pictures."""
    images, texts, true = batch
    with data.autocast(images.device):
        seen, said, scale = model(images.float() / 255, texts)
    logits = scale * seen.float() @ said.float().T  # (B, B (1 + HARD))
    own = torch.arange(len(images), device=images.device)
    also_true = true.scatter(1, own[:, None], False)
    logits = logits.masked_fill(also_true, float("-inf"))
    return {
        "of_captions": F.cross_entropy(logits, own) / 2,
        "of_pictures": F.cross_entropy(logits[:, : len(images)].T, own) / 2,
    }


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """Top-1 among 64 captions that differ in one attribute, of held-out scenes of three things."""
    found = [retrieved(model.get_submodule("net"), tokenize, scene) for scene in crowded(TESTED)]
    return {"retrieval_top1": sum(found) / len(found)}


def crowded(count: int) -> list[world.Scene]:
    """Held-out scenes of three things that have 63 variants at least."""
    scenes, number = [], data.HELD_OUT
    while len(scenes) < count:
        scene = world.scene(number, things=3)
        number += 1
        if len(world.variants(scene)) >= RIVALS - 1:
            scenes.append(scene)
    return scenes


@torch.inference_mode()
def retrieved(model: Any, tokenizer: Callable[[list[str]], Tensor], scene: world.Scene) -> bool:
    """Whether open_clip's `model` finds a scene's caption among 63 that differ in one attribute."""
    device = next(model.parameters()).device
    rivals = Random(scene.seed).sample(world.variants(scene), RIVALS - 1)
    texts = tokenizer([world.caption(it) for it in (scene, *rivals)]).to(device)
    image = torch.from_numpy(world.render(scene).copy()).permute(2, 0, 1)[None].to(device) / 127.5 - 1
    seen, said = model.encode_image(image, normalize=True), model.encode_text(texts, normalize=True)
    own, *others = (seen @ said.T)[0].tolist()
    return own > max(others)  # false for a tie and for NaN, where argmax would name the first


def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """A folder for open_clip: `create_model_and_transforms("local-dir:FOLDER")`."""
    from safetensors.torch import save_file

    folder = out / "clip"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(data.halves(model.net), folder / "open_clip_model.safetensors")
    config = {
        "model_cfg": model.config,
        "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokens.save_pretrained(folder)
    return folder
