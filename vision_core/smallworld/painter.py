"""The painter of the small world: a latent inpainting diffusion model.

diffusers' `UNet2DConditionModel` with 9 input channels (noisy latents, mask, masked latents) and
transformers' `CLIPTextModel`, trained together. Sources: Rombach et al. 2022, "High-Resolution Image
Synthesis with Latent Diffusion Models"; Salimans and Ho 2022 (v-prediction); Hang et al. 2023 (min-SNR
weights); Lin et al. 2024 (zero terminal SNR).
"""

import copy
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vision_core.devices import autocast, generator
from vision_core.editing.fill.inpainting import GUIDANCE
from vision_core.editing.hub import prepare
from vision_core.loading import prefetched
from vision_core.safety.bounds import Bounds, OneOf, Several, Whole
from vision_core.smallworld import clip, data, tokens
from vision_core.smallworld.autoencoder import save as save_autoencoder
from vision_core.smallworld.examples import (
    GRID,
    MASKINGS,
    Examples,
    box_masks,
    load_autoencoder,
    on_device,
    shared_examples,
)

EVERY, TESTED, SHOWN = 10, 256, 16
UNCONDITIONAL = 0.1  # share of examples with an empty caption, for classifier-free guidance


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
        down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in attention]
        up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attention)]
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


def batches(settings: Any, epoch: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield latents, masked latents, masks, tokens, noise and times.

    Scenes are drawn and encoded as needed: an epoch samples from as many scenes as there are examples up to
    its end. So training starts early even on a slow machine.
    """
    needed = min(epoch * settings.steps * settings.batch_size, settings.scenes)
    examples = shared_examples(settings.autoencoder, settings.cache, settings.scenes)
    examples.fill(needed, settings.workers, settings.device)
    yield from prefetched(partial(_batch, settings, examples, epoch), settings.steps, settings.workers)


def _batch(settings: Any, examples: Examples, epoch: int, step: int) -> tuple[Tensor, ...]:
    rng, size = generator(settings.seed, epoch, step), settings.batch_size
    needed = min(epoch * settings.steps * size, settings.scenes)
    allowed = torch.nonzero(examples.allowed[:needed])[:, 0]
    if not len(allowed):
        raise ValueError(f"all {needed} scenes contain withheld combinations; more scenes are needed")
    pick = allowed[torch.randint(len(allowed), (size,), generator=rng)]
    masking = torch.randint(MASKINGS, (size,), generator=rng)
    latents, left = examples.latents[pick, 0], examples.latents[pick, 1 + masking]
    texts = examples.texts[pick, masking].long()
    texts[torch.rand(size, generator=rng) < UNCONDITIONAL] = clip.tokenize([""])
    noise = torch.randn(size, 4, GRID, GRID, generator=rng)
    times = torch.randint(1000, (size,), generator=rng)
    return latents.float(), left.float(), box_masks(examples.boxes[pick, masking], 8), texts, noise, times


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
    with autocast(latents.device):
        v = model(x, times, texts)
    snr = (alpha / (1 - alpha)).flatten()
    weight = 0.1 + 0.9 * masks
    error = ((v.float() - target) ** 2 * weight).sum((1, 2, 3)) / (4 * weight.sum((1, 2, 3)))
    return error * (snr.clamp(max=5) / (snr + 1) + 0.05)  # the offset gives pure noise a small weight


@torch.inference_mode()
def measure(model: nn.Module, settings: Any, folder: Path | None) -> dict[str, float]:
    """Loss on held-out scenes with fixed noise; writes inpainted samples to the run's folder."""
    rng, device = generator(1, 0), next(model.parameters()).device
    held = shared_examples(settings.autoencoder, settings.cache, TESTED, data.HELD_OUT)
    held.fill(TESTED, 0, str(device))
    latents, left = held.latents[:, 0].float(), held.latents[:, 1].float()
    masks, texts = box_masks(held.boxes[:, 0], 8), held.texts[:, 0].long()
    noise = torch.randn(TESTED, 4, GRID, GRID, generator=rng)
    times = torch.arange(TESTED) * 1000 // TESTED
    parts = [part.to(device) for part in (latents, left, masks, texts, noise, times)]
    errors = [_errors(model, group) for group in zip(*(part.split(32) for part in parts), strict=True)]
    if folder:
        painted = sample(model, *(part[:SHOWN] for part in parts[1:5]), steps=12)
        vae = on_device(settings.autoencoder, device)
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

    vae, _ = load_autoencoder(settings.autoencoder)
    nets = copy.deepcopy({"vae": vae, "unet": model.unet, "text_encoder": model.text_encoder})
    parts: dict[str, Any] = {name: net.half() for name, net in nets.items()}
    parts |= {"tokenizer": tokens.tokenizer(), "scheduler": scheduler()}
    parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    StableDiffusionInpaintPipeline(**parts).save_pretrained(out / "inpainting")
    save_autoencoder(parts["vae"], out / "inpainting" / "vae")
    return out / "inpainting"
