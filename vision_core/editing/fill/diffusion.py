"""Diffusion inpainting as a `Painter`: any diffusers pipeline, from a folder or the model hub."""

import gc
import warnings
from collections.abc import Generator
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Any

import numpy as np
import torch
from PIL import Image

from vision_core import devices
from vision_core.editing import compose, hub
from vision_core.editing.fill.inpainting import GUIDANCE
from vision_core.events import Event, Preview, Step

DEFAULT = "stable-diffusion-v1-5/stable-diffusion-inpainting"
LCM = "latent-consistency/lcm-lora-sdv1-5"
TINY_VAE = "madebyollin/taesd"
MAX_PROMPT = 10_000
# Stable Diffusion 1's latents as colours in [-1, 1]: a preview without the 84 M parameters of its decoder
_LATENT_COLORS = (
    (0.298, 0.207, 0.208),
    (0.187, 0.286, 0.173),
    (-0.158, 0.189, 0.264),
    (-0.184, -0.271, -0.473),
)


class Blocked(ValueError):
    """The model's own safety check refused the picture."""


class Diffusion:
    """A text-to-image inpainting model.

    Args:
        source: a folder in the diffusers format, or a repository of the model hub.
        steps, guidance, negative: of the sampling.
        side: side in pixels of the painted square; None for the model's own.
        whole: show the model the largest possible square of the picture, not a part around the hole.
        fast: Stable Diffusion 1.5 with the LCM adapter and the tiny autoencoder: 4 to 8 steps, for a CPU.

    Raises:
        ValueError: the folder holds no inpainting pipeline, or an argument is out of range.
        WeightsMissing: not on this machine.
    """

    takes_text = True

    def __init__(
        self,
        source: str | Path = DEFAULT,
        *,
        name: str | None = None,
        steps: int = 20,
        guidance: float = GUIDANCE["diffusers"],
        negative: str = "",
        side: int | None = None,
        whole: bool = False,
        device: str = "auto",
        fast: bool = False,
    ) -> None:
        if not 1 <= steps <= 1000:
            raise ValueError(f"{steps} steps were asked for; 1 to 1000 are possible")
        if not 0 <= guidance <= 100:
            raise ValueError(f"the guidance is {guidance:g}; 0 to 100 was expected")
        self.steps, self.guidance, self.negative = steps, guidance, check_prompt(negative)
        self.options = {"steps": steps, "guidance": guidance, "negative": self.negative}
        self.name = name or (Path(source).name if Path(source).is_dir() else str(source))
        self.whole = whole
        self.device = devices.pick(device)
        self.pipe = _load(source, self.device)
        if fast:
            _make_fast(self.pipe, self.device)
        scale = int(self.pipe.vae_scale_factor)
        self.multiple = scale * 2 ** (len(self.pipe.unet.config.block_out_channels) - 1)
        native_side = int(self.pipe.unet.config.sample_size) * scale
        self.side: int | None = side or native_side
        if self.side < 8 or self.side > 4096:
            raise ValueError(f"the side is {side}; 8 to 4096 pixels are possible")

    def paint(
        self, rgb: np.ndarray, hole: np.ndarray, prompt: str, seed: int = 0, strength: float = 1.0
    ) -> Generator[Event, None, np.ndarray]:
        """See `Painter.paint`. Closing the generator stops the sampling within a step.

        Raises:
            ValueError: the prompt is too long, the strength out of range, no size fits the memory.
            Blocked: the model's safety check refused the picture.
        """
        prompt = check_prompt(prompt)
        if not 0 < strength <= 1:
            raise ValueError(f"the strength is {strength:g}; above 0 and up to 1 was expected")
        side = int(self.side or 512)
        while True:
            try:
                return (yield from self._paint(rgb, hole, prompt, seed, strength, side))
            except torch.OutOfMemoryError:
                gc.collect()
                torch.cuda.empty_cache()
                side = side * 3 // 4 // 8 * 8
                if side < 128:
                    raise ValueError(
                        "not enough memory for this model, even at a small size: free some, or use a "
                        "smaller model or the CPU"
                    ) from None

    def _paint(
        self, rgb: np.ndarray, hole: np.ndarray, prompt: str, seed: int, strength: float, side: int
    ) -> Generator[Event, None, np.ndarray]:
        height, width = _size(hole.shape[0], hole.shape[1], side, self.multiple)
        image = Image.fromarray(compose.resize(rgb, height, width))
        mask = Image.fromarray(compose.resize(hole, height, width).astype(np.uint8) * 255)
        queue: SimpleQueue[Any] = SimpleQueue()
        stop, began = Flag(), monotonic()

        def after_step(pipe: Any, number: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            pipe._interrupt = stop.is_set()
            queue.put((number + 1, tensors["latents"].detach().float().cpu()))
            return tensors

        def work() -> None:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    output = self.pipe(
                        prompt=prompt,
                        negative_prompt=self.negative or None,
                        image=image,
                        mask_image=mask,
                        height=height,
                        width=width,
                        num_inference_steps=self.steps,
                        guidance_scale=self.guidance,
                        strength=strength,
                        generator=torch.Generator("cpu").manual_seed(seed),
                        callback_on_step_end=after_step,
                        callback_on_step_end_tensor_inputs=["latents"],
                    )
                queue.put(output)
            except BaseException as error:  # it belongs to whoever waits for the picture
                queue.put(error)

        thread = Thread(target=work, daemon=True)
        thread.start()
        total = max(1, int(self.steps * strength))
        try:
            while isinstance(item := queue.get(), tuple):
                number, latents = item
                elapsed = monotonic() - began
                yield Step(number, max(total, number), {}, elapsed / number * max(0, total - number))
                yield Preview(f"step {number}", _look(latents))
        finally:
            stop.set()
            thread.join()
        if isinstance(item, BaseException):
            raise item
        if any(getattr(item, "nsfw_content_detected", None) or ()):
            raise Blocked("the model's safety check refused its own picture: change the prompt or the seed")
        return compose.resize(np.asarray(item.images[0].convert("RGB")), *hole.shape)


def check_prompt(prompt: str) -> str:
    """The prompt without surrounding space; more than 10,000 characters are a `ValueError`."""
    if len(prompt) > MAX_PROMPT:
        raise ValueError(f"the prompt has {len(prompt):,} characters; {MAX_PROMPT:,} are the most")
    return prompt.strip()


def _load(source: str | Path, device: torch.device) -> Any:
    folder = hub.folder(source, "model_index.json")  # before five seconds of imports
    hub.prepare()
    from diffusers import AutoPipelineForInpainting
    from diffusers.utils.logging import (
        disable_progress_bar,
        get_verbosity,
        set_verbosity,
        set_verbosity_error,
    )
    from transformers.utils.logging import disable_progress_bar as disable_transformers_bar

    disable_progress_bar()
    disable_transformers_bar()
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    before = get_verbosity()
    set_verbosity_error()  # it warns of a tiny autoencoder, which is what is meant
    try:
        with hub.reading(source):
            pipe = AutoPipelineForInpainting.from_pretrained(folder, dtype=dtype, local_files_only=True)
            pipe.set_progress_bar_config(disable=True)
            return pipe.to(device)
    finally:
        set_verbosity(before)


def _make_fast(pipe: Any, device: torch.device) -> None:
    from diffusers import AutoencoderTiny, LCMScheduler

    adapter, vae = hub.folder(LCM, "pytorch_lora_weights.safetensors"), hub.folder(TINY_VAE, "config.json")
    with hub.reading(LCM):
        pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
        pipe.load_lora_weights(adapter)
        pipe.fuse_lora()
    with hub.reading(TINY_VAE):
        pipe.vae = AutoencoderTiny.from_pretrained(vae, dtype=pipe.unet.dtype).to(device)  # pyright: ignore[reportArgumentType]


def _size(height: int, width: int, side: int, multiple: int) -> tuple[int, int]:
    """Near the area of a square of `side`, in the shape of the picture, both divisible."""
    scale = side / (height * width) ** 0.5
    return tuple(max(multiple, round(length * scale / multiple) * multiple) for length in (height, width))  # pyright: ignore[reportReturnType]


def _look(latents: torch.Tensor) -> np.ndarray:
    """Latents (1, C, h, w) as a small picture, uint8 (h, w, 3): their colours, roughly."""
    latents = latents[0]
    if latents.shape[0] == 4:
        colors = torch.einsum("chw,cd->hwd", latents, torch.tensor(_LATENT_COLORS)) / 2 + 0.5
    else:
        colors = torch.sigmoid(latents[:3].permute(1, 2, 0))
    return (colors.clamp(0, 1) * 255).byte().numpy()
