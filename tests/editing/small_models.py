"""Random networks of the real classes, a few kilobytes each, written in the formats that the hub serves."""

import json
from pathlib import Path

import torch

from vision_core import torchvision_cpu


def finish(generator):
    """Run a generator; returns its result and a list of the yielded values."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return end.value, events


def small_world(folder: Path) -> Path:
    """A painter, a ViT and a CLIP, as `VISION_CORE_EDITING` holds them."""
    inpainting_pipeline(folder / "inpainting")
    vit(folder / "dino")
    clip(folder / "clip")
    return folder


def tokenizer_files(folder: Path) -> None:
    """A byte-level BPE vocabulary of single letters, as CLIP's tokenizer reads it."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    config = {
        "model_max_length": 32,
        "tokenizer_class": "CLIPTokenizer",
        "pad_token": "<|endoftext|>",
        **special,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps({**special, "pad_token": "<|endoftext|>"}))


def inpainting_pipeline(folder: Path) -> Path:
    """A Stable Diffusion inpainting pipeline that paints 64 x 64 pixels."""
    torchvision_cpu.prepare()
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer_files(folder / "vocabulary")
    text = CLIPTextConfig(
        vocab_size=190,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        bos_token_id=188,
        eos_token_id=189,
        pad_token_id=189,
    )
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=9,
        out_channels=4,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        unet=unet,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "vocabulary"),
        scheduler=DDIMScheduler(steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def vit(folder: Path) -> Path:
    """A ViT as DINO's are stored: patches of 8 pixels, 32 x 32 pictures."""
    torchvision_cpu.prepare()
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor().save_pretrained(folder)
    return folder


def clip(folder: Path) -> Path:
    """A CLIP as open_clip stores them, for 32 x 32 pictures, with its own small vocabulary."""
    torchvision_cpu.prepare()
    import open_clip
    from safetensors.torch import save_file

    torch.manual_seed(2)
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "size": 32}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": model, "preprocess_cfg": preprocess})
    )
    network = open_clip.CLIP(**model)
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return folder


def clipseg(folder: Path) -> Path:
    """A CLIPSeg of two layers."""
    torchvision_cpu.prepare()
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    torch.manual_seed(0)
    tokenizer_files(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = CLIPSegConfig(
        text_config={
            **sizes,
            "vocab_size": 190,
            "max_position_embeddings": 32,
            "bos_token_id": 188,
            "eos_token_id": 189,
            "pad_token_id": 189,
        },
        vision_config={**sizes, "image_size": 32, "patch_size": 16},
        projection_dim=16,
        reduce_dim=8,
        extract_layers=[0, 1, 2],
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    CLIPSegForImageSegmentation(config).save_pretrained(folder)
    preprocessing = {
        "image_processor_type": "ViTImageProcessor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "size": {"height": 352, "width": 352},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder
