"""Measures time and memory of an edit by text with networks of full size and random weights.

    python benchmarks/editing_large.py [--small] [--device auto] [--anchors 9] [--steps 20] [--folder FOLDER]

DINO's ViT-B/16, CLIP's ViT-B-16 and Stable Diffusion 1's inpainting with its text encoder, autoencoder and
safety check are drawn at random and written to a folder in half precision, by a process of their own; then
`editing.edit` does with them what `edit run --backend diffusers` does. No network is asked. Random weights
cost what trained ones cost; the pictures mean nothing. Prints one JSON object.
"""

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vision_core import devices, editing, torchvision_cpu
from vision_core.editing import compose
from vision_core.editing.scoring import Clip
from vision_core.events import Preview, Step
from vision_core.pictures import images

PICTURE = Path(__file__).parents[1] / "assets" / "color" / "astronaut.jpg"
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

LARGE: dict[str, dict[str, Any]] = {
    "vit": {},  # transformers' own defaults are ViT-B/16 at 224
    "text": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
    "unet": {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2, "cross_attention_dim": 768},
    "vae": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2},
    "safety": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 224,
    },
    "clip": {
        "embed_dim": 512,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
    },
}
SMALL: dict[str, dict[str, Any]] = {
    "vit": {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 48,
        "image_size": 32,
        "patch_size": 8,
    },
    "text": {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "projection_dim": 32,
    },
    "unet": {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1, "cross_attention_dim": 32},
    "vae": {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1},
    "safety": {
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "patch_size": 14,
        "image_size": 28,
    },
    "clip": {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
}


def build(folder: Path, small: bool, device: str) -> None:
    """Write the three models with random weights, in the layout of the Hub."""
    sizes, where = SMALL if small else LARGE, devices.pick(device)
    with torch.device(where):  # random numbers are faster there
        _vit(folder / "dino", sizes)
        _clip(folder / "clip", sizes)
        _inpainting(folder / "inpainting", sizes, small)


def _vit(folder: Path, sizes: dict[str, dict[str, Any]]) -> None:
    torchvision_cpu.prepare()
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    ViTModel(ViTConfig(**sizes["vit"]), add_pooling_layer=False).half().save_pretrained(folder)
    ViTImageProcessor().save_pretrained(folder)


def _clip(folder: Path, sizes: dict[str, dict[str, Any]]) -> None:
    torchvision_cpu.prepare()
    import open_clip
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    preprocess = {"mean": MEAN, "std": STD, "size": sizes["clip"]["vision_cfg"]["image_size"]}
    config = {"model_cfg": sizes["clip"], "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = open_clip.CLIP(**sizes["clip"]).half().state_dict()
    save_file(
        {name: tensor.contiguous() for name, tensor in state.items()}, folder / "open_clip_model.safetensors"
    )


def _inpainting(folder: Path, sizes: dict[str, dict[str, Any]], small: bool) -> None:
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    _vocabulary(folder / "tokenizer")
    special = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    text = CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, **special, **sizes["text"])
    unet = UNet2DConditionModel(
        sample_size=16 if small else 64, in_channels=9, out_channels=4, attention_head_dim=8, **sizes["unet"]
    )
    vae = AutoencoderKL(
        sample_size=512,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        **sizes["vae"],
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    judged = CLIPConfig(
        text_config=text.to_dict(),
        vision_config=sizes["safety"],
        projection_dim=sizes["text"]["projection_dim"],
    )
    side = sizes["safety"]["image_size"]
    StableDiffusionInpaintPipeline(
        vae=vae.half(),
        text_encoder=CLIPTextModel(text).half(),
        unet=unet.half(),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        scheduler=scheduler,  # pyright: ignore[reportArgumentType]
        safety_checker=StableDiffusionSafetyChecker(judged).half(),
        feature_extractor=CLIPImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}
        ),
    ).save_pretrained(folder)


def _vocabulary(folder: Path) -> None:
    """Write the vocabulary of CLIP from open_clip in the format of transformers."""
    from open_clip.tokenizer import SimpleTokenizer

    folder.mkdir(parents=True)
    own, ends = SimpleTokenizer(), ("<|startoftext|>", "<|endoftext|>")
    words = {
        {"<start_of_text>": ends[0], "<end_of_text>": ends[1]}.get(w, w): n for w, n in own.encoder.items()
    }
    (folder / "vocab.json").write_text(json.dumps(words))
    merges = "\n".join(" ".join(pair) for pair in own.bpe_ranks)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    config = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "bos_token": ends[0]}
    rest = {"eos_token": ends[1], "unk_token": ends[1], "pad_token": ends[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, **rest}))


class TimedClip(Clip):
    """Measures the time for the source and the texts, and the time for all candidates."""

    source, candidates = 0.0, 0.0

    def judge(self, source: Any, caption: str, prompt: str, weighting: Any) -> Any:
        began = time.perf_counter()
        scores = super().judge(source, caption, prompt, weighting)
        self.source = time.perf_counter() - began

        def timed(edit: Any) -> dict[str, float]:
            began = time.perf_counter()
            terms = scores(edit)
            self.candidates += time.perf_counter() - began
            return terms

        return timed


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    device, began = devices.pick(options.device), time.perf_counter()
    torchvision_cpu.prepare()
    import open_clip  # noqa: F401  not to be measured
    from diffusers import AutoPipelineForInpainting  # noqa: F401
    from transformers import AutoImageProcessor, CLIPTextModel, ViTModel  # noqa: F401

    imported = time.perf_counter() - began
    began = time.perf_counter()
    painter: Any = editing.painter(
        "diffusers", str(folder / "inpainting"), steps=options.steps, device=options.device
    )
    eyes: Any = editing.load_saliency(str(folder / "dino"), "diffusers", options.device)
    clip = TimedClip(folder / "clip", options.device)
    if options.bf16:
        painter.pipe.to(torch.bfloat16)
    pipe = painter.pipe
    models = [
        _size(name, model)
        for name, model in {
            "DINO ViT": eyes.model,
            "CLIP": clip.model,
            "UNet": pipe.unet,
            "autoencoder": pipe.vae,
            "text encoder": pipe.text_encoder,
            "safety check": pipe.safety_checker,
        }.items()
    ]
    seconds = {"imports": imported, "load": time.perf_counter() - began}
    loaded = _memory(device)
    picture = images.Picture(compose.resize(images.read(PICTURE).rgb, options.size, options.size))
    seconds.update(_edit(picture, painter, eyes, clip, options.anchors))
    return {
        "device": _name(device),
        "torch": str(torch.__version__),
        "picture": options.size,
        "painted": painter.side,
        "anchors": options.anchors,
        "steps": options.steps,
        "models": models,
        "parameters": sum(m["parameters"] for m in models),
        "weights_bytes": sum(m["bytes"] for m in models),
        "loaded_bytes": loaded,
        "peak_bytes": _memory(device),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def _edit(
    picture: images.Picture, painter: Any, eyes: Any, clip: TimedClip, anchors: int
) -> dict[str, float]:
    """Run an edit by text and time each part."""
    seconds, each, steps, last = {}, [], [], time.perf_counter()
    for event in editing.edit(
        picture, "an astronaut", "an astronaut with pink flowers", painter, eyes, clip, anchors=anchors
    ):
        now = time.perf_counter()
        match event:
            case Preview("saliency"):
                seconds["saliency"], last = now - last, now
            case Step(step):
                steps.append((step, now, time.process_time()))
            case Preview():
                each.append(now - last - (0 if each else clip.source))
                last = now
            case editing.Candidate():
                last = now
    pairs = [(a, b) for a, b in pairwise(steps) if b[0] > a[0]]
    walls, worked = (sorted(b[i] - a[i] for a, b in pairs) or [float("nan")] for i in (1, 2))
    middle = sorted(each[1:] or each)[len(each[1:] or each) // 2]
    return {
        **seconds,
        "first_painting": each[0],
        "a_painting": middle,
        "all_paintings": sum(each),
        "a_step": walls[len(walls) // 2],
        "a_step_of_processor_time": worked[len(worked) // 2],
        "scoring_the_source": clip.source,
        "scoring_all_candidates": clip.candidates,
    }


def _size(name: str, model: nn.Module) -> dict[str, Any]:
    tensors = list(model.parameters())
    size = sum(t.numel() * t.element_size() for t in tensors)
    kinds = {str(t.dtype).removeprefix("torch.") for t in tensors}
    return {"name": name, "parameters": sum(t.numel() for t in tensors), "bytes": size, "dtype": min(kinds)}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def _memory(device: torch.device) -> int:
    """Peak memory in bytes: of tensors on a GPU, otherwise of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="tiny networks of the same kinds")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--anchors", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=512, help="pixels a side of the picture")
    parser.add_argument("--folder", help="keep the networks here for another run")
    parser.add_argument("--bf16", action="store_true", help="the painter in bfloat16, whatever the device")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, began = Path(options.folder or scratch), time.perf_counter()
        if not (folder / "inpainting" / "model_index.json").is_file():
            work = multiprocessing.get_context("spawn").Process(  # its memory must not count
                target=build, args=(folder, options.small, options.device)
            )
            work.start()
            work.join()
            if work.exitcode:
                raise SystemExit(f"the networks could not be built (status {work.exitcode})")
        built = time.perf_counter() - began
        print(json.dumps({**measure(folder, options), "built_in_seconds": round(built, 1)}, indent=1))


if __name__ == "__main__":
    main()
