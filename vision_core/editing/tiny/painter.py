"""The painter of the small world: an inpainting diffusion model in the latents of its autoencoder.

diffusers' `UNet2DConditionModel` with 9 input channels (noisy latents, mask, latents of what is left) and
transformers' `CLIPTextModel`, trained together. Sources: Rombach et al. 2022, "High-Resolution Image
Synthesis with Latent Diffusion Models"; Salimans and Ho 2022 (v-prediction); Hang et al. 2023 (min-SNR
weights); Lin et al. 2024 (zero terminal SNR).
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vision_core.devices import generator
from vision_core.editing.tiny import clip, data, tokens, world
from vision_core.editing.tiny.autoencoder import save as save_autoencoder
from vision_core.editing.tiny.grammar import Caption
from vision_core.files import atomic
from vision_core.torchvision_cpu import prepare

EVERY, TESTED, SHOWN, MASKINGS = 10, 256, 16, 4
GRID = data.SIDE // 8
WITHHELD = {  # never painted in training, to see whether colour and kind are learnt apart
    ("tent", "blue"),
    ("house", "pink"),
    ("car", "yellow"),
    ("balloon", "green"),
    ("windmill", "red"),
    ("flowering tree", "white"),
    ("bush", "purple"),
}


class Network(nn.Module):
    """Noisy latents, mask, what is left (B, 9, 16, 16), time (B,), tokens (B, 40) -> v (B, 4, 16, 16)."""

    def __init__(
        self, channels: tuple[int, int, int] = (64, 128, 128), text_width: int = 128, text_layers: int = 2
    ) -> None:
        prepare()
        from diffusers import UNet2DConditionModel
        from diffusers.models.attention_processor import AttnProcessor
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        self.architecture = {"channels": channels, "text_width": text_width, "text_layers": text_layers}
        self.unet = UNet2DConditionModel(
            sample_size=GRID,
            in_channels=9,
            out_channels=4,
            block_out_channels=tuple(channels),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            cross_attention_dim=text_width,
            attention_head_dim=4,
            norm_num_groups=16,
        )
        self.unet.set_attn_processor(AttnProcessor())  # a training step on the CPU takes 0.6 of the default's
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

    def forward(self, x: Tensor, time: Tensor, texts: Tensor) -> Tensor:
        said = self.text_encoder(texts).last_hidden_state
        return self.unet(x, time, encoder_hidden_states=said).sample


def scheduler() -> Any:
    """DDIM with v-prediction, from pure noise (zero terminal SNR) down."""
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


def hide(scene: world.Scene, random: Random) -> tuple[np.ndarray, Caption]:
    """A box to paint anew (128, 128) bool, and what is said of it.

    Mostly a box around a thing, close or wide, square or not, and the thing named; else any box, or all.
    """
    whole = world.describe_part(scene, random)
    kind, mask = random.random(), np.zeros((data.SIDE, data.SIDE), bool)
    masks = world.masks(scene)
    if kind < 0.08:
        mask[:] = True
        return mask, world.describe(scene)
    if kind < 0.75 and len(masks):
        index = random.randrange(len(masks))
        rows, columns = np.nonzero(masks[index])
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        if random.random() < 0.5:
            margins = [random.random() ** 2 * 36 for _ in range(4)]
        else:  # a square about the middle, as anchors propose
            side = max(bottom - top, right - left) * (1 + 0.9 * random.random())
            margins = [(side - (bottom - top)) / 2] * 2 + [(side - (right - left)) / 2] * 2
        box = top - margins[0], bottom + margins[1], left - margins[2], right + margins[3]
    else:
        h, w = random.randint(24, 100), random.randint(24, 100)
        y, x = random.randint(0, data.SIDE - h), random.randint(0, data.SIDE - w)
        box = y, y + h, x, x + w
    y0, y1, x0, x1 = (min(max(round(float(v)), 0), data.SIDE) for v in box)
    mask[y0:y1, x0:x1] = True
    return mask, _inside(scene, mask, masks, whole, random)


def withheld(scene: world.Scene) -> bool:
    return any((thing.kind, thing.colour) in WITHHELD for thing in scene.things)


def _inside(
    scene: world.Scene, mask: np.ndarray, masks: np.ndarray, whole: Caption, random: Random
) -> Caption:
    """What is said of a hidden box: the things mostly inside, or that nothing is; at times the scene."""
    full = world.describe(scene)
    hidden = [k for k, it in enumerate(masks) if (it & mask).sum() > 0.6 * it.sum()]
    ground = scene.ground if random.random() < 0.3 else None
    sky = scene.sky if random.random() < 0.3 else None
    if random.random() < 0.25:
        return whole
    phrases = tuple(
        replace(
            full.phrases[k],
            place=None,
            colour=full.phrases[k].colour if random.random() < 0.85 else None,
            size=full.phrases[k].size if random.random() < 0.35 else None,
        )
        for k in hidden
    )
    if phrases:
        return Caption(phrases, ground, sky)
    return Caption((), scene.ground, sky, empty=random.random() < 0.7)


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, ...]]:
    """Latents, latents of what is left, masks, tokens, noise, times: an epoch goes through one chunk."""
    drawn = generator(settings.seed, epoch)
    count = min(settings.scenes, data.CHUNK)
    masking, chunk = divmod(epoch - 1, settings.scenes // count)
    latents, left, masks, captions = examples(settings, chunk * count, count, masking % MASKINGS)
    known = [k for k, it in enumerate(data.scenes(chunk * count, count)) if not withheld(it)]
    for _ in range(settings.steps):
        pick = torch.tensor(known)[torch.randint(len(known), (settings.batch_size,), generator=drawn)]
        random = Random(int(torch.randint(1 << 62, (1,), generator=drawn)))
        texts = ["" if random.random() < 0.1 else captions[k].reworded(random) for k in pick.tolist()]
        noise = torch.randn(len(pick), 4, GRID, GRID, generator=drawn)
        times = torch.randint(1000, (len(pick),), generator=drawn)
        yield latents[pick], left[pick], masks[pick], clip.tokenize(texts), noise, times


def examples(
    settings: Any, first: int, count: int, masking: int
) -> tuple[Tensor, Tensor, Tensor, list[Caption]]:
    """Of scenes: latents (count, 4, 16, 16), those of what is left, masks (count, 1, 16, 16), captions."""
    hidden = [hide(scene, Random(scene.seed + 1 + masking)) for scene in data.scenes(first, count)]
    masks = torch.from_numpy(np.stack([mask for mask, _ in hidden]))[:, None]

    def images() -> Tensor:
        return data.images(first, count, settings.cache)

    latents = _kept(settings, f"{first:08}-{count}", images)
    left = _kept(settings, f"{first:08}-{count}-{masking}", lambda: images().masked_fill(masks, 0.5))
    return latents, left, masks[:, :, ::8, ::8].float(), [caption for _, caption in hidden]


def _kept(settings: Any, name: str, images: Callable[[], Tensor]) -> Tensor:
    """Latents of pictures, from the cache if they are there."""
    vae, digest = autoencoder(settings.autoencoder)
    path = Path(settings.cache) / f"latents-{digest}" / f"{name}.npy" if settings.cache else None
    if path and path.exists():
        return torch.from_numpy(np.load(path)).float()
    with torch.inference_mode(), data.autocast(torch.device("cpu")):
        found = torch.cat([vae.encoder(part * 2 - 1).float() for part in images().split(32)])
    found = (found * vae.config.scaling_factor).half()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            np.save(file, found.numpy())
    return found.float().clone()


@lru_cache(2)
def autoencoder(folder: str) -> tuple[Any, str]:
    """The autoencoder in a folder of diffusers' format, in float32, and a name for its latents."""
    prepare()
    import hashlib

    from diffusers import AutoencoderTiny

    weights = Path(folder) / "diffusion_pytorch_model.safetensors"
    if not weights.is_file():
        raise ValueError(f"{folder} holds no autoencoder in diffusers' format")
    vae = AutoencoderTiny.from_pretrained(folder, dtype=torch.float32).eval()
    return vae, hashlib.sha256(weights.read_bytes()).hexdigest()[:10]


@lru_cache(1)
def _alphas() -> Tensor:
    return scheduler().alphas_cumprod


def terms(model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    return {"v": _errors(model, batch).mean()}


def _errors(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Error of v per picture, ten times as much where it is painted; weighted by min(SNR, 5) / (SNR + 1)."""
    latents, left, masks, texts, noise, times = batch
    alpha = _alphas().to(latents.device)[times][:, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    wanted = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    x = torch.cat([noisy, masks, left], 1).contiguous(memory_format=torch.channels_last)
    with data.autocast(latents.device):
        v = model(x, times, texts)
    snr = (alpha / (1 - alpha)).flatten()
    where = 0.1 + 0.9 * masks
    error = ((v.float() - wanted) ** 2 * where).sum((1, 2, 3)) / (4 * where.sum((1, 2, 3)))
    return error * (snr.clamp(max=5) / (snr + 1) + 0.05)  # a little also for pure noise


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """Error on held-out scenes with fixed noise; eight of them painted anew go into the run's folder."""
    drawn, device = generator(1, 0), next(model.parameters()).device
    latents, left, masks, captions = examples(settings, data.HELD_OUT, TESTED, 0)
    texts = clip.tokenize([str(caption) for caption in captions])
    noise = torch.randn(TESTED, 4, GRID, GRID, generator=drawn)
    times = torch.arange(TESTED) * 1000 // TESTED
    parts = [part.to(device) for part in (latents, left, masks, texts, noise, times)]
    errors = [_errors(model, group) for group in zip(*(part.split(32) for part in parts), strict=True)]
    if folder:
        painted = sample(model, *(part[:SHOWN] for part in parts[1:5]), steps=12)
        vae, _ = autoencoder(settings.autoencoder)
        scale = vae.config.scaling_factor
        shown = [vae.decoder(part[:SHOWN].cpu() / scale) / 2 + 0.5 for part in (latents, left, painted)]
        rows = [part for k in range(0, SHOWN, 8) for part in (x[k : k + 8] for x in shown)]
        data.save_sheet(folder / "preview.png", torch.cat(rows))
        (folder / "preview.txt").write_text("\n".join(str(it) for it in captions[:SHOWN]) + "\n")
    return {"test_v": torch.cat(errors).mean().item()}


@torch.inference_mode()
def sample(
    model: nn.Module,
    left: Tensor,
    masks: Tensor,
    texts: Tensor,
    noise: Tensor,
    steps: int = 20,
    guidance: float = 3.0,
) -> Tensor:
    """Paint latents (B, 4, 16, 16) from `noise` as diffusers' inpainting pipeline does, guided by text."""
    schedule = scheduler()
    schedule.set_timesteps(steps)
    silent = clip.tokenize([""]).to(texts).expand_as(texts)
    x = noise
    for time in schedule.timesteps:
        both = torch.cat([x, masks, left], 1).repeat(2, 1, 1, 1)
        free, guided = model(both, time.expand(len(both)), torch.cat([silent, texts])).chunk(2)
        x = schedule.step(free + guidance * (guided - free), time, x).prev_sample
    return x


def save_pretrained(model: Network, settings: Any, out: Path) -> Path:
    """A folder for `AutoPipelineForInpainting.from_pretrained`."""
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
