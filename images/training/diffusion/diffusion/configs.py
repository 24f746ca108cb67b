"""An architecture in the words of diffusers and transformers."""

from typing import Any

from diffusion.layout import GROUP, HEAD, LATENT, TOKENS, Architecture

#: By what a latent is divided before it is noised.
SCALE = 0.18215
#: Pixels to a side of one latent.
REDUCTION = 8
#: The noise that every Stable Diffusion 1 was trained with.
NOISE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}


def unet(sizes: Architecture) -> dict[str, Any]:
    """Describe the network that removes noise; diffusers calls the number of heads their dimension."""
    down = ["CrossAttnDownBlock2D" if each else "DownBlock2D" for each in sizes.attention]
    up = ["CrossAttnUpBlock2D" if each else "UpBlock2D" for each in reversed(sizes.attention)]
    return {
        "_class_name": "UNet2DConditionModel",
        "in_channels": LATENT,
        "out_channels": LATENT,
        "block_out_channels": list(sizes.unet),
        "layers_per_block": sizes.unet_blocks,
        "down_block_types": down,
        "up_block_types": up,
        "cross_attention_dim": sizes.text,
        "attention_head_dim": 8,
        "norm_num_groups": GROUP,
    }


def vae(sizes: Architecture) -> dict[str, Any]:
    """Describe what turns latents into pixels and back."""
    levels = len(sizes.vae)
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": LATENT,
        "block_out_channels": list(sizes.vae),
        "layers_per_block": sizes.vae_blocks,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "norm_num_groups": GROUP,
        "scaling_factor": SCALE,
    }


def text(sizes: Architecture) -> dict[str, Any]:
    """Describe what reads the prompt; its two marks are its last words."""
    return {
        "vocab_size": sizes.words,
        "hidden_size": sizes.text,
        "intermediate_size": sizes.text_inner,
        "num_hidden_layers": sizes.text_layers,
        "num_attention_heads": sizes.text // HEAD,
        "max_position_embeddings": TOKENS,
        "hidden_act": "quick_gelu",
        "projection_dim": sizes.text,
        "bos_token_id": sizes.words - 2,
        "eos_token_id": sizes.words - 1,
        "pad_token_id": sizes.words - 1,
    }
