"""The painter of the small world: a latent inpainting diffusion model.

diffusers' `UNet2DConditionModel` with 9 input channels (noisy latents, mask, masked latents) and
transformers' `CLIPTextModel`, trained together. Sources: Rombach et al. 2022, "High-Resolution Image
Synthesis with Latent Diffusion Models"; Salimans and Ho 2022 (v-prediction); Hang et al. 2023 (min-SNR
weights); Lin et al. 2024 (zero terminal SNR).
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vision_core import devices
from vision_core.devices import generator
from vision_core.editing.fill.inpainting import GUIDANCE
from vision_core.editing.hub import prepare
from vision_core.loading import made
from vision_core.safety.bounds import Bounds, OneOf, Several, Whole
from vision_core.smallworld import clip, data, paint, tokens, world
from vision_core.smallworld.autoencoder import save as save_autoencoder
from vision_core.smallworld.grammar import COLOURS, KINDS, Caption

EVERY, TESTED, SHOWN, MASKINGS = 10, 256, 16, 8
GRID = data.SIDE // 8
UNCONDITIONAL = 0.1  # share of examples with an empty caption, for classifier-free guidance
Box = tuple[int, int, int, int]  # top, bottom, left, right
WITHHELD = {  # combinations held out of training, to test whether colour and kind are disentangled
    ("tent", "blue"),
    ("house", "pink"),
    ("car", "yellow"),
    ("balloon", "green"),
    ("windmill", "red"),
    ("flowering tree", "white"),
    ("bush", "purple"),
}


class Network(nn.Module):
    """Noisy latents, mask, masked latents (B, 9, 16, 16), time (B,), tokens (B, 40) -> v (B, 4, 16, 16)."""

    bounds: ClassVar[Bounds] = {
        "channels": Several(Whole(16, 4096), 3, 3),
        "text_width": Whole(32, 4096),
        "text_layers": Whole(1, 48),
        "layers": Whole(1, 16),
        "attention": Several(OneOf(True, False), 3, 3),
    }

    def __init__(
        self,
        channels: tuple[int, int, int] = (64, 128, 192),
        text_width: int = 192,
        text_layers: int = 2,
        layers: int = 2,
        attention: tuple[bool, bool, bool] = (True, True, False),
    ) -> None:
        prepare()
        from diffusers import UNet2DConditionModel
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        self.architecture = {
            "channels": channels,
            "text_width": text_width,
            "text_layers": text_layers,
            "layers": layers,
            "attention": attention,
        }
        down = ["CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attention]
        up = ["CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)]
        self.unet = UNet2DConditionModel(
            sample_size=GRID,
            in_channels=9,
            out_channels=4,
            block_out_channels=tuple(channels),
            down_block_types=tuple(down),
            up_block_types=tuple(up),
            layers_per_block=layers,
            cross_attention_dim=text_width,
            attention_head_dim=4,
            norm_num_groups=16,
        )
        self.plain = False
        self._attend(plain=True)
        ids: Any = tokens.tokenizer()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=tokens.size(),
                hidden_size=text_width,
                intermediate_size=4 * text_width,
                num_hidden_layers=text_layers,
                num_attention_heads=text_width // 32,
                max_position_embeddings=tokens.LENGTH,
                projection_dim=text_width,
                bos_token_id=ids.bos_token_id,
                eos_token_id=ids.eos_token_id,
                pad_token_id=ids.pad_token_id,
            )
        )

    def _attend(self, plain: bool) -> None:
        """Use plain attention on a CPU: a training step takes 0.6 times as long as with fused attention."""
        from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

        if plain != self.plain:
            self.unet.set_attn_processor(AttnProcessor() if plain else AttnProcessor2_0())
            self.plain = plain

    def forward(self, x: Tensor, time: Tensor, texts: Tensor) -> Tensor:
        self._attend(plain=not x.is_cuda)
        text = self.text_encoder(texts).last_hidden_state
        return self.unet(x, time, encoder_hidden_states=text).sample


def exported(folder: str | Path) -> Network:
    """Load a network written by `save_pretrained`, in float32."""
    prepare()
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", dtype=torch.float32)
    text = CLIPTextModel.from_pretrained(folder, subfolder="text_encoder", dtype=torch.float32)
    model = Network(
        channels=tuple(unet.config["block_out_channels"]),
        text_width=text.config.hidden_size,
        text_layers=text.config.num_hidden_layers,
        layers=unet.config["layers_per_block"],
        attention=tuple(kind.startswith("CrossAttn") for kind in unet.config["down_block_types"]),
    )
    model.unet.load_state_dict(unet.state_dict())
    model.text_encoder.load_state_dict(text.state_dict())
    return model


def scheduler() -> Any:
    """DDIM with v-prediction and zero terminal SNR."""
    prepare()
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def hide(scene: world.Scene, masks: np.ndarray, random: Random) -> tuple[Box, Caption]:
    """Choose a random box to inpaint, and its caption.

    Most boxes imitate an edit: around a thing and a possible replacement, with a caption of the thing. Others
    surround a thing tightly or loosely, are random, or cover the whole picture.

    Args:
        masks: bool (things, 128, 128), the visible pixels of each thing.
    """
    whole = world.describe_part(scene, random)
    choice = random.random()
    if choice < 0.06:
        return (0, data.SIDE, 0, data.SIDE), world.describe(scene)
    if choice >= 0.85 or not masks.any():
        h, w = random.randint(24, 100), random.randint(24, 100)
        y, x = random.randint(0, data.SIDE - h), random.randint(0, data.SIDE - w)
        box = (y, y + h, x, x + w)
        return box, _inside(scene, box, masks, whole, random)
    index = random.choice([k for k, it in enumerate(masks) if it.any()])
    rows, columns = np.nonzero(masks[index])
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    if choice < 0.5:
        kind = random.choice(KINDS)
        other = replace(scene.things[index], kind=kind, colour=COLOURS[kind][0])
        ends = [data.SIDE * end for end in paint.extent(scene, other)]
        margin = random.randint(2, 7)
        top, left = min(top, ends[0]) - margin, min(left, ends[2]) - margin
        bottom, right = max(bottom, ends[1]) + margin, max(right, ends[3]) + margin
        box = _within(top, bottom, left, right)
        return box, _inside(scene, box, masks, whole, random, index)
    if random.random() < 0.5:
        margins = [random.random() ** 2 * 36 for _ in range(4)]
    else:  # a square around the centre, like the boxes of anchors
        side = max(bottom - top, right - left) * (1 + 0.9 * random.random())
        margins = [(side - (bottom - top)) / 2] * 2 + [(side - (right - left)) / 2] * 2
    box = _within(top - margins[0], bottom + margins[1], left - margins[2], right + margins[3])
    return box, _inside(scene, box, masks, whole, random)


def _within(*ends: float) -> Box:
    top, bottom, left, right = (min(max(round(float(end)), 0), data.SIDE) for end in ends)
    return top, bottom, left, right


def withheld(scene: world.Scene) -> bool:
    return any((thing.kind, thing.colour) in WITHHELD for thing in scene.things)


def _inside(
    scene: world.Scene,
    box: Box,
    masks: np.ndarray,
    whole: Caption,
    random: Random,
    edited: int | None = None,
) -> Caption:
    """The caption of a hidden box: the things mostly inside, or that there are none; sometimes of the scene.

    For an edit, the `edited` thing is always mentioned, the others with a probability of 1/2.
    """
    full, (top, bottom, left, right) = world.describe(scene), box
    seen = masks[:, top:bottom, left:right].sum((1, 2))
    hidden = [k for k, it in enumerate(masks) if seen[k] > 0.6 * it.sum()]
    if edited is not None:
        hidden = [k for k in hidden if k == edited or random.random() < 0.5]
    ground = scene.ground if random.random() < 0.3 else None
    sky = scene.sky if random.random() < 0.3 else None
    if edited is not None and random.random() < 0.7:
        ground, sky = None, None
    elif random.random() < 0.25:
        return whole
    phrases = tuple(
        replace(
            full.phrases[k],
            place=None,
            colour=full.phrases[k].colour if random.random() < 0.9 else None,
            size=full.phrases[k].size if random.random() < (0.35 if edited is None else 0.7) else None,
        )
        for k in hidden
    )
    if phrases:
        return Caption(phrases, ground, sky)
    return Caption((), scene.ground, sky, empty=random.random() < 0.7)


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield latents, masked latents, masks, tokens, noise and times.

    Scenes are drawn and encoded as needed: an epoch samples from as many scenes as there are examples up to
    its end. So training starts early even on a slow machine.
    """
    needed = min(epoch * settings.steps * settings.batch_size, settings.scenes)
    examples = _examples(settings.autoencoder, settings.cache, settings.scenes)
    examples.fill(needed, settings.workers, settings.device)
    yield from made(partial(_batch, settings, examples, epoch), settings.steps, settings.workers)


def _batch(settings: Any, examples: "Examples", epoch: int, step: int) -> tuple[Tensor, ...]:
    drawn, size = generator(settings.seed, epoch, step), settings.batch_size
    needed = min(epoch * settings.steps * size, settings.scenes)
    allowed = torch.nonzero(examples.allowed[:needed])[:, 0]
    if not len(allowed):
        raise ValueError(f"all {needed} scenes contain withheld combinations; more scenes are needed")
    pick = allowed[torch.randint(len(allowed), (size,), generator=drawn)]
    masking = torch.randint(MASKINGS, (size,), generator=drawn)
    latents, left = examples.latents[pick, 0], examples.latents[pick, 1 + masking]
    texts = examples.texts[pick, masking].long()
    texts[torch.rand(size, generator=drawn) < UNCONDITIONAL] = clip.tokenize([""])
    noise = torch.randn(size, 4, GRID, GRID, generator=drawn)
    times = torch.randint(1000, (size,), generator=drawn)
    return latents.float(), left.float(), _masks(examples.boxes[pick, masking], 8), texts, noise, times


class Examples:
    """Training examples from the wild scenes, starting at `first`, with `MASKINGS` masks each.

    `fill` computes them on demand.

    latents: half (scenes, 1 + MASKINGS, 4, 16, 16), of the whole picture and of each masked one
    boxes, texts: int16 (scenes, MASKINGS, 4), and (scenes, MASKINGS, 40) tokens
    allowed: bool (scenes,), whether the scene contains no withheld combination
    """

    def __init__(self, autoencoder: str, cache: str | None, count: int, first: int = 0) -> None:
        self.autoencoder, self.cache, self.first, self.count = autoencoder, cache, first, count
        self.latents = torch.empty(count, 1 + MASKINGS, 4, GRID, GRID, dtype=torch.half)
        self.boxes = torch.empty(count, MASKINGS, 4, dtype=torch.int16)
        self.texts = torch.empty(count, MASKINGS, tokens.LENGTH, dtype=torch.int16)
        self.allowed = torch.zeros(count, dtype=torch.bool)
        self.filled = 0

    def fill(self, needed: int, workers: int = 0, device: str = "cpu") -> None:
        """Compute the missing ones of the first `needed` scenes, in chunks of 512."""
        parts = self._parts(needed)
        for part, facts in zip(parts, self.hide(needed, workers), strict=True):
            first, count = self._part(part)
            rows, facts = slice(first - self.first, first - self.first + count), torch.from_numpy(facts)
            self.boxes[rows], self.texts[rows] = facts[..., :4], facts[..., 4:]
            self.latents[rows] = torch.from_numpy(self._encoded(part, device).copy())
            scenes = map(world.wild, range(first, first + count))
            self.allowed[rows] = torch.tensor([not withheld(scene) for scene in scenes])
            self.filled = rows.stop

    def hide(self, needed: int, workers: int = 0) -> Iterator[np.ndarray]:
        """Boxes and tokens of the missing chunks; with a cache, also draws their pictures."""
        parts = self._parts(needed)
        if self.cache and parts:
            data.draw(self.cache, self.first, needed, workers, world.wild)
        return made(lambda k: self._hidden(parts[k]), len(parts), min(workers, len(parts)))

    def _parts(self, needed: int) -> range:
        done = self.filled // data.CHUNK
        return range(done, -(-needed // data.CHUNK)) if needed > self.filled else range(0)

    def _part(self, part: int) -> tuple[int, int]:
        done = part * data.CHUNK
        return self.first + done, min(data.CHUNK, self.count - done)

    def _path(self, kind: str, part: int) -> Path | None:
        first, count = self._part(part)
        return Path(self.cache) / kind / f"{first:010}-{count}.npy" if self.cache else None

    def _hidden(self, part: int) -> np.ndarray:
        """Boxes and tokens of a chunk, int16 (count, MASKINGS, 4 + 40)."""

        def make() -> np.ndarray:
            first, count = self._part(part)
            rows = []
            for scene in map(world.wild, range(first, first + count)):
                masks, random = world.masks(scene), Random(scene.seed + 1)
                boxes, captions = zip(*(hide(scene, masks, random) for _ in range(MASKINGS)), strict=True)
                texts = clip.tokenize([caption.reworded(random) for caption in captions])
                rows.append(np.concatenate([np.array(boxes), texts.numpy()], 1).astype(np.int16))
            return np.stack(rows)

        return np.array(data.cached(self._path(f"hidden-{data.version(world.wild)}-{HIDING}", part), make))

    def _encoded(self, part: int, device: str) -> np.ndarray:
        def make() -> np.ndarray:
            first, count = self._part(part)
            rows = slice(first - self.first, first - self.first + count)
            pictures = torch.from_numpy(np.array(data.pictures(first, count, self.cache, world.wild)))
            return encode(self.autoencoder, pictures, self.boxes[rows], devices.pick(device)).numpy()

        digest = autoencoder(self.autoencoder)[1]
        kind = f"latents-{data.version(world.wild)}-{HIDING}-{digest}"
        return data.cached(self._path(kind, part), make)


HIDING = 2  # version of `hide`, because its results are cached


@lru_cache(2)
def _examples(autoencoder: str, cache: str | None, count: int, first: int = 0) -> Examples:
    return Examples(autoencoder, cache, count, first)


def _masks(boxes: Tensor, step: int = 1) -> Tensor:
    """Boxes (..., 4) -> masks, float (..., 1, 128 / step, 128 / step), of every `step`-th pixel."""
    at = torch.arange(0, data.SIDE, step, device=boxes.device)
    top, bottom, left, right = (end[..., None] for end in boxes.unbind(-1))
    rows, columns = (at >= top) & (at < bottom), (at >= left) & (at < right)
    return (rows[..., :, None] & columns[..., None, :]).unsqueeze(-3).float()


@torch.inference_mode()
def encode(folder: str, pictures: Tensor, boxes: Tensor, device: torch.device) -> Tensor:
    """Scaled latents of pictures, uint8 (B, 128, 128, 3), whole and masked by boxes (B, M, 4)."""
    vae, parts = _on(folder, device), []
    size = 8 if device.type == "cpu" else 64
    for some, hidden in zip(pictures.split(size), boxes.split(size), strict=True):
        images = some.to(device).permute(0, 3, 1, 2)[:, None].float() / 127.5 - 1
        left = images * (1 - _masks(hidden.to(device)))  # 0 is grey
        images = torch.cat([images, left], 1)
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with data.autocast(device):
            latents = vae.encoder(flat).float() * vae.config.scaling_factor
        parts.append(latents.unflatten(0, images.shape[:2]).half().cpu())
    return torch.cat(parts)


@lru_cache(2)
def _on(folder: str, device: torch.device) -> Any:
    """The autoencoder on a device."""
    return copy.deepcopy(autoencoder(folder)[0]).to(device, memory_format=torch.channels_last)


@lru_cache(2)
def autoencoder(folder: str) -> tuple[Any, str]:
    """Load an autoencoder in diffusers' format, in float32, with a hash for cached latents."""
    prepare()
    import hashlib

    from diffusers import AutoencoderTiny

    weights = Path(folder) / "diffusion_pytorch_model.safetensors"
    if not weights.is_file():
        raise ValueError(f"{folder} contains no autoencoder in diffusers' format")
    vae = AutoencoderTiny.from_pretrained(folder, dtype=torch.float32).eval()
    return vae, hashlib.sha256(weights.read_bytes()).hexdigest()[:10]


@lru_cache(2)
def _alphas(device: torch.device) -> Tensor:
    return scheduler().alphas_cumprod.to(device)


def terms(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {"v": _errors(model, batch).mean()}


def _errors(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """MSE of v per picture, ten times as high inside the mask, weighted by min(SNR, 5) / (SNR + 1)."""
    latents, left, masks, texts, noise, times = batch
    alpha = _alphas(latents.device)[times][:, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    x = torch.cat([noisy, masks, left], 1).contiguous(memory_format=torch.channels_last)
    with data.autocast(latents.device):
        v = model(x, times, texts)
    snr = (alpha / (1 - alpha)).flatten()
    weight = 0.1 + 0.9 * masks
    error = ((v.float() - target) ** 2 * weight).sum((1, 2, 3)) / (4 * weight.sum((1, 2, 3)))
    return error * (snr.clamp(max=5) / (snr + 1) + 0.05)  # the offset gives pure noise a small weight


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """Loss on held-out scenes with fixed noise; writes inpainted samples to the run's folder."""
    drawn, device = generator(1, 0), next(model.parameters()).device
    held = _examples(settings.autoencoder, settings.cache, TESTED, data.HELD_OUT)
    held.fill(TESTED, 0, str(device))
    latents, left = held.latents[:, 0].float(), held.latents[:, 1].float()
    masks, texts = _masks(held.boxes[:, 0], 8), held.texts[:, 0].long()
    noise = torch.randn(TESTED, 4, GRID, GRID, generator=drawn)
    times = torch.arange(TESTED) * 1000 // TESTED
    parts = [part.to(device) for part in (latents, left, masks, texts, noise, times)]
    errors = [_errors(model, group) for group in zip(*(part.split(32) for part in parts), strict=True)]
    if folder:
        painted = sample(model, *(part[:SHOWN] for part in parts[1:5]), steps=12)
        vae = _on(settings.autoencoder, device)
        scale = vae.config.scaling_factor
        shown = [vae.decoder(part[:SHOWN] / scale) / 2 + 0.5 for part in (*parts[:2], painted)]
        rows = [part for k in range(0, SHOWN, 8) for part in (x[k : k + 8] for x in shown)]
        data.save_sheet(folder / "preview.png", torch.cat(rows))
        captions = tokens.tokenizer().batch_decode(texts[:SHOWN], skip_special_tokens=True)
        (folder / "preview.txt").write_text("\n".join(captions) + "\n")
    return {"test_v": torch.cat(errors).mean().item()}


@torch.inference_mode()
def sample(
    model: nn.Module,
    left: Tensor,
    masks: Tensor,
    texts: Tensor,
    noise: Tensor,
    steps: int = 20,
    guidance: float = GUIDANCE["tiny"],
) -> Tensor:
    """Sample latents (B, 4, 16, 16) from `noise` with text guidance, like diffusers' inpainting pipeline."""
    schedule = scheduler()
    schedule.set_timesteps(steps)
    empty = clip.tokenize([""]).to(texts).expand_as(texts)
    x = noise
    for time in schedule.timesteps:
        both = torch.cat([x, masks, left], 1).repeat(2, 1, 1, 1)
        free, guided = model(both, time.to(x.device).expand(len(both)), torch.cat([empty, texts])).chunk(2)
        x = schedule.step(free + guidance * (guided - free), time, x).prev_sample
    return x


def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """Export for `AutoPipelineForInpainting.from_pretrained`."""
    prepare()
    from diffusers import StableDiffusionInpaintPipeline

    vae, _ = autoencoder(settings.autoencoder)
    nets = copy.deepcopy({"vae": vae, "unet": model.unet, "text_encoder": model.text_encoder})
    parts: dict[str, Any] = {name: net.half() for name, net in nets.items()}
    parts |= {"tokenizer": tokens.tokenizer(), "scheduler": scheduler()}
    parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    StableDiffusionInpaintPipeline(**parts).save_pretrained(out / "inpainting")
    save_autoencoder(parts["vae"], out / "inpainting" / "vae")
    return out / "inpainting"
