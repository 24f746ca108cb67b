"""What a form says of a mask: which part of its picture is to be painted anew."""

from dataclasses import dataclass

from diffusion.forms import Form

#: What is under the mask before something new comes there.
FILL, ORIGINAL, NOISE, NOTHING = range(4)
CONTENT = {FILL: "fill", NOISE: "latent noise", NOTHING: "latent nothing"}
WIDEST_BLUR = 64
WIDEST_PADDING = 256
TOLD = (
    *("mask_blur", "mask_blur_x", "mask_blur_y", "mask_round", "inpainting_fill"),
    *("inpaint_full_res", "inpaint_full_res_padding", "inpainting_mask_invert"),
)


@dataclass(frozen=True, kw_only=True)
class Masking:
    """A mask in base64, white where something new is wanted, and how it is meant."""

    mask: str
    blur: tuple[int, int] = (4, 4)
    content: int = FILL
    only_masked: bool = True
    padding: int = 0
    inverted: bool = False
    rounded: bool = True


def parse(form: Form) -> Masking | None:
    """Read the mask of a form, by the WebUI's own defaults; without one, what is said of it is nothing."""
    mask = form.take("mask")
    if mask is None:
        for name in TOLD:
            form.take(name)
        return None
    if not isinstance(mask, str):
        raise form.wrong("mask", "an image in base64")
    both = form.whole("mask_blur", 0, WIDEST_BLUR, 4)
    return Masking(
        mask=mask,
        blur=(
            form.whole("mask_blur_x", 0, WIDEST_BLUR, both),
            form.whole("mask_blur_y", 0, WIDEST_BLUR, both),
        ),
        content=form.whole("inpainting_fill", FILL, NOTHING, FILL),
        only_masked=form.flag("inpaint_full_res", True),
        padding=form.whole("inpaint_full_res_padding", 0, WIDEST_PADDING, 0),
        inverted=bool(form.whole("inpainting_mask_invert", 0, 1, 0)),
        rounded=form.flag("mask_round", True),
    )


def facts(masking: Masking | None) -> dict[str, str | int | None]:
    """List what an infotext tells of a mask, by the WebUI's names."""
    if masking is None:
        return {}
    is_even = masking.blur[0] == masking.blur[1]
    return {
        "Mask blur": masking.blur[0] if is_even and masking.blur[0] else None,
        "Inpaint area": "Only masked" if masking.only_masked else None,
        "Masked area padding": masking.padding if masking.only_masked else None,
        "Masked content": CONTENT.get(masking.content),
    }
