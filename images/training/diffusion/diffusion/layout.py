"""The community's single-file layout of Stable Diffusion 1: which tensors, of which shapes.

A checkpoint says nothing of its architecture but by its tensors. `read` finds it from their shapes, `names`
lists all tensors of an architecture; so a checkpoint that lacks one is refused before it is loaded.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from diffusion.errors import Invalid

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT = "cond_stage_model.transformer.text_model."

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]
Named = Iterator[tuple[str, Shape]]

#: Channels of latents, tokens of a chunk with its two marks, channels of a normed group, width of a head of
#: the text encoder: what no shape tells is the same in every Stable Diffusion 1.
LATENT, TOKENS, GROUP, HEAD = 4, 77, 32, 64

OTHERS = {
    "conditioner.embedders.": "Stable Diffusion XL",
    "cond_stage_model.model.": "Stable Diffusion 2",
    f"{UNET}joint_blocks.": "Stable Diffusion 3",
    f"{UNET}double_blocks.": "Flux",
    "lora_unet_": "a LoRA",
    "lora_te_": "a LoRA",
    "control_model.": "a ControlNet",
}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes of the three networks."""

    unet: tuple[int, ...]
    unet_blocks: int
    attention: tuple[bool, ...]
    vae: tuple[int, ...]
    vae_blocks: int
    words: int
    text: int
    text_layers: int
    text_inner: int


STABLE_DIFFUSION_1 = Architecture(
    unet=(320, 640, 1280, 1280),
    unet_blocks=2,
    attention=(True, True, True, False),
    vae=(128, 256, 512, 512),
    vae_blocks=2,
    words=49408,
    text=768,
    text_layers=12,
    text_inner=3072,
)


def read(shapes: Shapes) -> Architecture:
    """Find the architecture of a checkpoint; refuse one of another kind, or one that lacks something."""
    for prefix, other in OTHERS.items():
        if any(name.startswith(prefix) for name in shapes):
            raise Invalid(f"the checkpoint is {other}; this container serves Stable Diffusion 1")
    try:
        found = _found(shapes)
    except (KeyError, IndexError, ValueError):
        raise Invalid("the checkpoint has not the tensors of a Stable Diffusion 1 in a single file") from None
    _check(found, shapes)
    return found


def read_vae(shapes: Shapes, who: str) -> Architecture:
    """Find the sizes of a VAE that comes alone; those of the other networks mean nothing."""
    try:
        sizes = replace(STABLE_DIFFUSION_1, **_vae_sizes(shapes))
    except (KeyError, IndexError, ValueError):
        sizes = replace(STABLE_DIFFUSION_1, vae=())
    if not sizes.vae or not sizes.vae_blocks or any(each % GROUP for each in sizes.vae):
        raise Invalid(f"{who} has not the tensors of a Stable Diffusion 1's VAE")
    for name, shape in _within(VAE, _vae(sizes)):
        if _plain(shapes.get(name, ())) != _plain(shape):
            raise Invalid(f"{who} has not the {name.removeprefix(VAE)} of a Stable Diffusion 1's VAE")
    return sizes


def _found(shapes: Shapes) -> Architecture:
    inputs = shapes[f"{UNET}input_blocks.0.0.weight"][1]
    if inputs != LATENT:
        raise Invalid(f"the checkpoint takes {inputs} channels: inpainting and editing are not supported")
    levels = _unet_levels(shapes)
    words, text = shapes[f"{TEXT}embeddings.token_embedding.weight"]
    return Architecture(
        unet=tuple(width for width, _ in levels[0]),
        unet_blocks=len(levels),
        attention=tuple(attention for _, attention in levels[0]),
        **_vae_sizes(shapes),
        words=words,
        text=text,
        text_layers=_run(shapes, f"{TEXT}encoder.layers.", ".mlp.fc1.weight"),
        text_inner=shapes[f"{TEXT}encoder.layers.0.mlp.fc1.weight"][0],
    )


def _vae_sizes(shapes: Shapes) -> dict[str, Any]:
    levels = range(_run(shapes, f"{VAE}encoder.down.", ".block.0.conv1.weight"))
    return {
        "vae": tuple(shapes[f"{VAE}encoder.down.{each}.block.0.conv1.weight"][0] for each in levels),
        "vae_blocks": _run(shapes, f"{VAE}encoder.down.0.block.", ".conv1.weight"),
    }


def _unet_levels(shapes: Shapes) -> list[list[tuple[int, bool]]]:
    """Return for each block of a level, level by level, its width and whether it has attention."""
    levels: list[list[tuple[int, bool]]] = [[]]
    for number in count(1):
        name = f"{UNET}input_blocks.{number}."
        if f"{name}0.op.weight" in shapes:
            levels.append([])
        elif f"{name}0.out_layers.3.weight" in shapes:
            levels[-1].append((shapes[f"{name}0.out_layers.3.weight"][0], f"{name}1.norm.weight" in shapes))
        else:
            return [list(each) for each in zip(*levels, strict=True)]
    raise AssertionError("unreachable")


def _run(shapes: Shapes, before: str, after: str) -> int:
    """Count the numbers from 0 for which a tensor is there."""
    return next(number for number in count() if f"{before}{number}{after}" not in shapes)


def _check(found: Architecture, shapes: Shapes) -> None:
    wanted = dict(names(found))
    missing = [name for name in wanted if name not in shapes]
    if missing:
        more = f" and {len(missing) - 1} more tensors" if len(missing) > 1 else ""
        raise Invalid(f"the checkpoint lacks {missing[0]}{more} of a Stable Diffusion 1")
    for name, shape in wanted.items():
        if _plain(shapes[name]) != _plain(shape):
            raise Invalid(f"the checkpoint's {name} is {_times(shapes[name])}, not {_times(shape)}")
    if any(each % GROUP for each in (*found.unet, *found.vae)) or found.text % HEAD:
        raise Invalid("the checkpoint's networks have widths that no Stable Diffusion 1 has")


def _plain(shape: Shape) -> Shape:
    """Drop trailing ones: some tools write 1x1 convolutions as matrices."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _times(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a number"


def names(sizes: Architecture) -> Named:
    """Return every tensor of an architecture with its shape."""
    yield from _within(UNET, _unet(sizes))
    yield from _within(VAE, _vae(sizes))
    yield from _within(TEXT, _text(sizes))


def _within(prefix: str, named: Named) -> Named:
    return ((f"{prefix}{name}", shape) for name, shape in named)


def _layer(name: str, *shape: int) -> Named:
    """Return weight and bias of a linear layer, of a convolution or, with one size, of a norm."""
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]


def _unet(sizes: Architecture) -> Named:
    first, *_ = sizes.unet
    yield from _layer("time_embed.0", 4 * first, first)
    yield from _layer("time_embed.2", 4 * first, 4 * first)
    yield from _layer("input_blocks.0.0", first, LATENT, 3, 3)
    number, skips, inside = 1, [first], first
    for level, width in enumerate(sizes.unet):
        for _ in range(sizes.unet_blocks):
            yield from _unet_block(f"input_blocks.{number}", inside, width, sizes, level)
            number, inside = number + 1, width
            skips.append(inside)
        if level < len(sizes.unet) - 1:
            yield from _layer(f"input_blocks.{number}.0.op", width, width, 3, 3)
            number += 1
            skips.append(inside)
    yield from _residual("middle_block.0", inside, inside, first)
    yield from _attention("middle_block.1", inside, sizes.text)
    yield from _residual("middle_block.2", inside, inside, first)
    yield from _unet_outputs(sizes, inside, skips)


def _unet_outputs(sizes: Architecture, inside: int, skips: list[int]) -> Named:
    number = 0
    for level, width in reversed([*enumerate(sizes.unet)]):
        for block in range(sizes.unet_blocks + 1):
            name = f"output_blocks.{number}"
            yield from _unet_block(name, inside + skips.pop(), width, sizes, level)
            if level and block == sizes.unet_blocks:
                yield from _layer(f"{name}.{2 if sizes.attention[level] else 1}.conv", width, width, 3, 3)
            number, inside = number + 1, width
    yield from _layer("out.0", inside)
    yield from _layer("out.2", LATENT, inside, 3, 3)


def _unet_block(name: str, inside: int, width: int, sizes: Architecture, level: int) -> Named:
    yield from _residual(f"{name}.0", inside, width, sizes.unet[0])
    if sizes.attention[level]:
        yield from _attention(f"{name}.1", width, sizes.text)


def _residual(name: str, inside: int, width: int, first: int) -> Named:
    yield from _layer(f"{name}.in_layers.0", inside)
    yield from _layer(f"{name}.in_layers.2", width, inside, 3, 3)
    yield from _layer(f"{name}.emb_layers.1", width, 4 * first)
    yield from _layer(f"{name}.out_layers.0", width)
    yield from _layer(f"{name}.out_layers.3", width, width, 3, 3)
    if inside != width:
        yield from _layer(f"{name}.skip_connection", width, inside, 1, 1)


def _attention(name: str, width: int, text: int) -> Named:
    yield from _layer(f"{name}.norm", width)
    yield from _layer(f"{name}.proj_in", width, width, 1, 1)
    block = f"{name}.transformer_blocks.0"
    for number, source in (1, width), (2, text):
        yield f"{block}.attn{number}.to_q.weight", (width, width)
        yield f"{block}.attn{number}.to_k.weight", (width, source)
        yield f"{block}.attn{number}.to_v.weight", (width, source)
        yield from _layer(f"{block}.attn{number}.to_out.0", width, width)
    yield from _layer(f"{block}.ff.net.0.proj", 8 * width, width)
    yield from _layer(f"{block}.ff.net.2", width, 4 * width)
    for number in (1, 2, 3):
        yield from _layer(f"{block}.norm{number}", width)
    yield from _layer(f"{name}.proj_out", width, width, 1, 1)


def _vae(sizes: Architecture) -> Named:
    first, last = sizes.vae[0], sizes.vae[-1]
    yield from _layer("encoder.conv_in", first, 3, 3, 3)
    inside = first
    for level, width in enumerate(sizes.vae):
        for block in range(sizes.vae_blocks):
            yield from _vae_block(f"encoder.down.{level}.block.{block}", inside, width)
            inside = width
        if level < len(sizes.vae) - 1:
            yield from _layer(f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    yield from _vae_middle("encoder", last)
    yield from _layer("encoder.norm_out", last)
    yield from _layer("encoder.conv_out", 2 * LATENT, last, 3, 3)
    yield from _layer("quant_conv", 2 * LATENT, 2 * LATENT, 1, 1)
    yield from _layer("post_quant_conv", LATENT, LATENT, 1, 1)
    yield from _layer("decoder.conv_in", last, LATENT, 3, 3)
    yield from _vae_middle("decoder", last)
    for level, width in reversed([*enumerate(sizes.vae)]):
        for block in range(sizes.vae_blocks + 1):
            yield from _vae_block(f"decoder.up.{level}.block.{block}", inside, width)
            inside = width
        if level:
            yield from _layer(f"decoder.up.{level}.upsample.conv", width, width, 3, 3)
    yield from _layer("decoder.norm_out", first)
    yield from _layer("decoder.conv_out", 3, first, 3, 3)


def _vae_block(name: str, inside: int, width: int) -> Named:
    yield from _layer(f"{name}.norm1", inside)
    yield from _layer(f"{name}.conv1", width, inside, 3, 3)
    yield from _layer(f"{name}.norm2", width)
    yield from _layer(f"{name}.conv2", width, width, 3, 3)
    if inside != width:
        yield from _layer(f"{name}.nin_shortcut", width, inside, 1, 1)


def _vae_middle(name: str, width: int) -> Named:
    yield from _vae_block(f"{name}.mid.block_1", width, width)
    yield from _layer(f"{name}.mid.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from _layer(f"{name}.mid.attn_1.{part}", width, width, 1, 1)
    yield from _vae_block(f"{name}.mid.block_2", width, width)


def _text(sizes: Architecture) -> Named:
    yield "embeddings.token_embedding.weight", (sizes.words, sizes.text)
    yield "embeddings.position_embedding.weight", (TOKENS, sizes.text)
    for number in range(sizes.text_layers):
        name = f"encoder.layers.{number}"
        for part in ("q", "k", "v", "out"):
            yield from _layer(f"{name}.self_attn.{part}_proj", sizes.text, sizes.text)
        yield from _layer(f"{name}.layer_norm1", sizes.text)
        yield from _layer(f"{name}.mlp.fc1", sizes.text_inner, sizes.text)
        yield from _layer(f"{name}.mlp.fc2", sizes.text, sizes.text_inner)
        yield from _layer(f"{name}.layer_norm2", sizes.text)
    yield from _layer("final_layer_norm", sizes.text)
