"""The autoencoder of the small world: encodes pictures of 128 x 128 pixels as 4 x 16 x 16 latents.

It is diffusers' `AutoencoderTiny` (the architecture of TAESD: convolutions and ReLU only) without blocks at
full resolution, where most of the time would be spent.

With pixel losses alone, the decoder outputs the mean of all plausible pictures: blossoms on a bush become a
smear. For training the decoder alone, a perceptual loss on CLIP features can be added. Source: Johnson et al.
2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution".
"""

import copy
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision_core.devices import autocast, generator
from vision_core.editing.hub import prepare
from vision_core.files import read_json, write_json
from vision_core.loading import prefetched
from vision_core.safety.bounds import Bounds, Whole
from vision_core.smallworld import clip, data, paint, world

CROP, TESTED, EVERY = 64, 64, 4


class Network(nn.Module):
    """(B, 3, H, W) in [0, 1] -> latents (B, 4, H / 8, W / 8) and reconstructions; H, W multiples of 8."""

    bounds: ClassVar[Bounds] = {"width": Whole(1, 1024)}

    def __init__(self, width: int = 64) -> None:
        prepare()
        from diffusers import AutoencoderTiny

        super().__init__()
        self.architecture = {"width": width}
        self.clip: str | None = None  # folder of the CLIP for the perceptual loss
        self.net = AutoencoderTiny(
            latent_channels=4,
            encoder_block_out_channels=(width,) * 4,
            decoder_block_out_channels=(width,) * 4,
            num_encoder_blocks=(0, 2, 4, 6),
            num_decoder_blocks=(6, 4, 2, 0),
        )

    def encode(self, images: Tensor) -> Tensor:
        return self.net.encoder(images * 2 - 1)

    def decode(self, latents: Tensor) -> Tensor:
        return self.net.decoder(latents) / 2 + 0.5

    def forward(self, images: Tensor, noise: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """The latents, and the reconstructions from the latents with added `noise`."""
        latents = self.encode(images)
        return latents, self.decode(latents + noise)


def with_its_encoder(folder: str, clip: str | None = None) -> Network:
    """Load an autoencoder in diffusers' format and freeze its encoder, to improve only the decoder.

    A painter trained in its latents stays compatible. With the folder of a CLIP, a perceptual loss is added.
    """
    prepare()
    from diffusers import AutoencoderTiny

    vae = AutoencoderTiny.from_pretrained(folder, dtype=torch.float32)
    model = Network(vae.config["encoder_block_out_channels"][0])
    model.net.load_state_dict(vae.state_dict())
    model.net.encoder.requires_grad_(False)
    model.clip = clip
    return model


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield crops of 64 x 64, uint8, latent noise, and a mask of the things, bool (B, 1, 64, 64).

    Most crops show a thing. One in eight is partly filled with grey, as in inpainting.
    """
    if settings.cache:
        data.draw(settings.cache, 0, settings.scenes, settings.workers, world.wild)
    yield from prefetched(partial(_batch, settings, epoch), settings.steps, settings.workers)


def _batch(settings: Any, epoch: int, step: int) -> tuple[Tensor, ...]:
    rng = generator(settings.seed, epoch, step)
    numbers = torch.randint(settings.scenes, (settings.batch_size,), generator=rng).tolist()
    parts = [_crop(number, settings.cache, rng) for number in numbers]
    crops, things = torch.stack([crop for crop, _ in parts]), torch.stack([mask for _, mask in parts])
    for crop in crops[::8]:
        y, x, h, w = torch.randint(8, CROP - 8, (4,), generator=rng).tolist()
        crop[:, y : y + h, x : x + w] = 128
    return crops, torch.randn(len(crops), 4, CROP // 8, CROP // 8, generator=rng), things


def _crop(number: int, cache: str | None, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A crop of a picture, uint8 (3, 64, 64), and the mask of its things, bool (1, 64, 64)."""
    scene, last = world.wild(number), data.SIDE - CROP
    extents = [[data.SIDE * end for end in paint.extent(scene, thing)] for thing in scene.things]
    y, x = torch.randint(last + 1, (2,), generator=rng).tolist()
    luck = torch.rand(4, generator=rng).tolist()
    if extents and luck[0] < 0.8:
        top, bottom, left, right = extents[int(luck[1] * len(extents))]
        y = min(max(int((top + bottom - CROP) / 2 + 48 * (luck[2] - 0.5)), 0), last)
        x = min(max(int((left + right - CROP) / 2 + 48 * (luck[3] - 0.5)), 0), last)
    picture = data.pictures(number, 1, cache, world.wild)[0, y : y + CROP, x : x + CROP]
    mask = torch.zeros(1, data.SIDE, data.SIDE, dtype=torch.bool)
    for ends in extents:
        top, bottom, left, right = (max(int(end), 0) for end in ends)
        mask[:, top:bottom, left:right] = True
    return torch.from_numpy(picture.copy()).permute(2, 0, 1), mask[:, y : y + CROP, x : x + CROP].clone()


def terms(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """L1 losses of pixels, of gradients and of 4 x 4 means, with triple weight on things.

    The latents are regularised by their size and by added noise.
    """
    images, noise, things = batch[0].float() / 255, batch[1], batch[2]
    images = images.contiguous(memory_format=torch.channels_last)
    with autocast(images.device):
        latents, again = model(images, 0.05 * noise)
    latents, again = latents.float(), again.float()
    wrong, weight = again - images, 1 + 2 * things.float()
    weight = weight / weight.mean()
    losses = {
        "pixels": (wrong.abs() * weight).mean(),
        "edges": (wrong.diff(dim=-1).abs() * weight[..., 1:]).mean()
        + (wrong.diff(dim=-2).abs() * weight[..., 1:, :]).mean(),
        "colours": (F.avg_pool2d(wrong, 4).abs() * F.avg_pool2d(weight, 4)).mean(),
        "size": 1e-3 * (latents**2).mean(),
    }
    if model.clip is not None:
        losses["features"] = _features(_visual(str(model.clip), images.device), again, images)
    return losses


def _features(visual: Any, again: Tensor, images: Tensor) -> Tensor:
    """Relative L1 distance of the CLIP features at 1/8, 1/16 and 1/32 of the resolution.

    Finer features would require the exact position of every dot, which the latents do not encode.
    """
    both = torch.cat([again, images]).contiguous(memory_format=torch.channels_last) * 2 - 1
    with autocast(images.device):
        features = visual.forward_intermediates(both, [2, 3, 4], intermediates_only=True)
    pairs = [level.float().chunk(2) for level in features["image_intermediates"]]
    return 0.05 * torch.stack([(a - b).abs().mean() / b.abs().mean() for a, b in pairs]).sum()


@lru_cache(2)
def _visual(folder: str, device: torch.device) -> Any:
    """The frozen image tower of an exported CLIP."""
    visual: Any = clip.exported(folder).net.visual
    return visual.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """PSNR on held-out scenes; writes eight reconstructions to the run's folder."""
    images = data.drawn(data.scenes(data.HELD_OUT, TESTED)).to(next(model.parameters()).device) / 255
    again = torch.cat([model(part)[1].clamp(0, 1) for part in images.split(16)])
    psnr = -10 * ((again - images) ** 2).mean((1, 2, 3)).log10()
    if folder:
        data.save_sheet(folder / "preview.png", torch.cat([images[:8], again[:8]]))
    return {"psnr": psnr.mean().item(), "psnr_worst": psnr.min().item()}


@torch.inference_mode()
def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """Export for diffusers, with a `scaling_factor` that gives latents a standard deviation of 1."""
    if settings.autoencoder:
        scale = read_json(Path(settings.autoencoder) / "config.json")["scaling_factor"]
    else:
        scale = round(1 / model.encode(data.images(0, 64)).std().item(), 4)
    model.net.register_to_config(scaling_factor=scale)
    save(copy.deepcopy(model.net).half(), out / "inpainting" / "vae")
    return out / "inpainting" / "vae"


def save(vae: Any, folder: Path) -> None:
    """Save in diffusers' format, without a redundant setting that would cause a warning on loading."""
    vae.save_pretrained(folder)
    config = read_json(folder / "config.json")
    del config["block_out_channels"]
    write_json(folder / "config.json", config)
