"""The CLIP of the small world: a joint embedding of pictures and captions, in open_clip's format.

Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision". Since
the ground truth is known, captions that are also true of another picture in the batch are not used as
negatives, and captions of scenes that differ in one attribute are added as hard negatives. An auxiliary
linear head predicts from each embedding, of a picture or a caption, what is where; it is not exported.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.devices import autocast, generator
from vision_core.editing.hub import prepare
from vision_core.files import read_json
from vision_core.loading import prefetched
from vision_core.safety.bounds import Bounds, Whole
from vision_core.smallworld import data, tokens, world
from vision_core.smallworld.grammar import GROUNDS, KINDS, PLACES, SIZES, SKIES, TONES, Caption

EVERY, TESTED, HARD, RIVALS = 10, 100, 7, 64
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
CLASSES = (*(1 + len(KINDS), len(TONES), len(SIZES)) * len(PLACES), len(GROUNDS), len(SKIES))  # of the head
UNKNOWN, SHARPNESS = -1, 16  # the head sees unit vectors scaled by SHARPNESS


class Network(nn.Module):
    """open_clip's CLIP: a small ResNet with attention pooling, a small text transformer, and the head."""

    bounds: ClassVar[Bounds] = {
        **dict.fromkeys(("embed", "width"), Whole(1, 4096)),
        "text_width": Whole(32, 4096),
        "text_layers": Whole(1, 48),
    }

    def __init__(
        self, embed: int = 256, width: int = 24, text_width: int = 128, text_layers: int = 3
    ) -> None:
        prepare()
        from open_clip.model import CLIP

        super().__init__()
        self.architecture = {
            "embed": embed,
            "width": width,
            "text_width": text_width,
            "text_layers": text_layers,
        }
        self.config = {
            "embed_dim": embed,
            "vision_cfg": {"image_size": data.SIDE, "width": width, "layers": [1, 1, 1, 1], "head_width": 64},
            "text_cfg": {
                "context_length": tokens.LENGTH,
                "vocab_size": tokens.size(),
                "hf_tokenizer_name": "tokenizer",  # relative to the configuration
                "width": text_width,
                "heads": text_width // 32,
                "layers": text_layers,
            },
        }
        self.net = CLIP(**self.config)
        self.head = nn.Linear(embed, sum(CLASSES))

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, 128, 128) in [0, 1] and token ids (C, 40) -> unit vectors (B, E), (C, E), and the scale."""
        scale = self.net.logit_scale.clamp(max=4.6).exp()
        return self.net.encode_image(images * 2 - 1, True), self.net.encode_text(texts, True), scale


def exported(folder: str | Path) -> Network:
    """Load a network written by `save_pretrained`, in float32; its head is untrained.

    Raises:
        ValueError: the folder holds no CLIP.
    """
    prepare()
    import open_clip

    config = read_json(Path(folder) / "open_clip_config.json")["model_cfg"]
    text = config["text_cfg"]
    model = Network(config["embed_dim"], config["vision_cfg"]["width"], text["width"], text["layers"])
    net, *_ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.net.load_state_dict(net.state_dict())
    return model


def truth(caption: Caption, whole: bool = False) -> list[int]:
    """The labels of a caption, one per entry of `CLASSES`; UNKNOWN for attributes it does not mention.

    In a `whole` caption, places that are not mentioned are empty (kind 0).
    """
    at = {phrase.place: phrase for phrase in caption.phrases}
    labels = []
    for place in PLACES:
        phrase = at.get(place)
        labels += [
            1 + KINDS.index(phrase.kind) if phrase else 0 if whole else UNKNOWN,
            TONES.index(phrase.colour) if phrase and phrase.colour else UNKNOWN,
            SIZES.index(phrase.size) if phrase and phrase.size else UNKNOWN,
        ]
    return [
        *labels,
        list(GROUNDS).index(caption.ground) if caption.ground else UNKNOWN,
        list(SKIES).index(caption.sky) if caption.sky else UNKNOWN,
    ]


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield pictures, uint8 (B, 3, 128, 128), caption tokens (B (1 + HARD), 40), which caption is true of
    which picture, and the labels of the pictures (B, 11) and of the captions.

    The first B captions belong to the pictures, the others to variants of their scenes.
    """
    if settings.cache and settings.workers:
        data.draw(settings.cache, 0, settings.scenes, settings.workers)
    yield from prefetched(partial(_batch, settings, epoch), settings.steps, settings.workers)


def _batch(settings: Any, epoch: int, step: int) -> tuple[Tensor, ...]:
    rng = generator(settings.seed, epoch, step)
    numbers = torch.randint(settings.scenes, (settings.batch_size,), generator=rng).tolist()
    random = Random(int(torch.randint(1 << 62, (1,), generator=rng)))
    scenes = [world.scene(number) for number in numbers]
    captions, rivals = [], []
    for scene in scenes:
        part = random.getrandbits(32)
        captions.append(world.describe_part(scene, Random(part)))
        variants = world.variants(scene)
        rivals += [world.describe_part(variant, Random(part)) for variant in random.sample(variants, HARD)]
    captions += rivals
    texts = [caption.reworded(random) for caption in captions]
    true = torch.tensor([[caption.true_of(scene) for caption in captions] for scene in scenes])
    images = torch.stack([data.image(number, settings.cache) for number in numbers])
    shown = torch.tensor([truth(world.describe(scene), whole=True) for scene in scenes])
    return images, tokenize(texts), true, shown, torch.tensor([truth(caption) for caption in captions])


def tokenize(texts: list[str]) -> Tensor:
    """(len(texts), 40) token ids, padded with END."""
    encoded = tokens.tokenizer()(
        texts, padding="max_length", truncation=True, max_length=tokens.LENGTH, return_tensors="pt"
    )
    return encoded.input_ids


def terms(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Contrastive loss of pictures and captions, and cross-entropy of the auxiliary head."""
    images, texts, true, image_labels, text_labels = batch
    with autocast(images.device):
        image_embeddings, text_embeddings, scale = model(images.float() / 255, texts)
    image_embeddings, text_embeddings = image_embeddings.float(), text_embeddings.float()
    logits = scale * image_embeddings @ text_embeddings.T  # (B, B (1 + HARD))
    matching = torch.arange(len(images), device=images.device)
    also_true = true.scatter(1, matching[:, None], False)
    logits = logits.masked_fill(also_true, float("-inf"))
    head = model.get_submodule("head")
    return {
        "of_captions": F.cross_entropy(logits, matching) / 2,
        "of_pictures": F.cross_entropy(logits[:, : len(images)].T, matching) / 2,
        "head_of_pictures": _head_loss(head(SHARPNESS * image_embeddings), image_labels),
        "head_of_captions": _head_loss(head(SHARPNESS * text_embeddings), text_labels),
    }


def _head_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of the logits (N, sum of CLASSES) over all known labels (N, 11)."""
    parts = zip(logits.split(CLASSES, 1), labels.unbind(1), strict=True)
    losses = [F.cross_entropy(part, label, ignore_index=UNKNOWN, reduction="sum") for part, label in parts]
    return torch.stack(losses).sum() / (labels != UNKNOWN).sum()


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """Top-1 retrieval among 64 captions that differ in one attribute, on held-out scenes of three things."""
    hits = [retrieved(model.get_submodule("net"), tokenize, scene) for scene in crowded(TESTED)]
    return {"retrieval_top1": sum(hits) / len(hits)}


def crowded(count: int) -> list[world.Scene]:
    """Held-out scenes of three things with at least 63 variants."""
    scenes, number = [], data.HELD_OUT
    while len(scenes) < count:
        scene = world.scene(number, things=3)
        number += 1
        if len(world.variants(scene)) >= RIVALS - 1:
            scenes.append(scene)
    return scenes


@torch.inference_mode()
def retrieved(model: Any, tokenizer: Callable[[list[str]], Tensor], scene: world.Scene) -> bool:
    """Whether the model ranks a scene's caption above 63 others that differ in one attribute."""
    device = next(model.parameters()).device
    rivals = Random(scene.seed).sample(world.variants(scene), RIVALS - 1)
    texts = tokenizer([world.caption(candidate) for candidate in (scene, *rivals)]).to(device)
    image = torch.from_numpy(world.render(scene).copy()).permute(2, 0, 1)[None].to(device) / 127.5 - 1
    image_embedding = model.encode_image(image, normalize=True)
    score, *others = (image_embedding @ model.encode_text(texts, normalize=True).T)[0].tolist()
    return score > max(others)  # false for ties and NaN, where argmax would return the first


def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """Export for open_clip: `create_model_and_transforms("local-dir:FOLDER")`."""
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
