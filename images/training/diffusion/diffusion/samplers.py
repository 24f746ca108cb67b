"""Samplers and schedules by the WebUI's names, and what diffusers calls them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusion.errors import Invalid

AUTOMATIC = "Automatic"

#: How a schedule spreads the steps over the noise levels, as options of diffusers' schedulers.
SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "Uniform": {},
    "Normal": {},
    "Simple": {"timestep_spacing": "trailing"},
    "SGM Uniform": {"timestep_spacing": "trailing"},
    "DDIM": {"timestep_spacing": "leading", "steps_offset": 1},
    "Karras": {"use_karras_sigmas": True},
    "Exponential": {"use_exponential_sigmas": True},
    "Beta": {"use_beta_sigmas": True},
}
SPACINGS = frozenset({"Uniform", "Normal", "Simple", "SGM Uniform", "DDIM"})
CURVES = frozenset({"Karras", "Exponential", "Beta"})


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """One of the WebUI's samplers."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)
    automatic: str = "Uniform"
    schedules: frozenset[str] = SPACINGS | CURVES


#: What has a schedule of its own, and no other, in the WebUI too.
FIXED: frozenset[str] = frozenset()

_MULTISTEP = "DPMSolverMultistepScheduler"
_SDE = {"algorithm_type": "sde-dpmsolver++"}

SAMPLERS: Mapping[str, Sampler] = {
    "DPM++ 2M": Sampler(kind=_MULTISTEP, automatic="Karras"),
    "DPM++ 2M SDE": Sampler(kind=_MULTISTEP, options=_SDE, automatic="Exponential"),
    "DPM++ 2M SDE Heun": Sampler(
        kind=_MULTISTEP, options=_SDE | {"solver_type": "heun"}, automatic="Exponential"
    ),
    "DPM++ SDE": Sampler(
        kind="DPMSolverSinglestepScheduler",
        options=_SDE | {"lower_order_final": True},
        automatic="Karras",
        schedules=CURVES | {"Uniform", "Normal"},
    ),
    "Euler": Sampler(kind="EulerDiscreteScheduler"),
    "Euler a": Sampler(kind="EulerAncestralDiscreteScheduler", schedules=SPACINGS),
    "Heun": Sampler(kind="HeunDiscreteScheduler"),
    "LMS": Sampler(kind="LMSDiscreteScheduler"),
    "DPM2": Sampler(kind="KDPM2DiscreteScheduler", automatic="Karras"),
    "DPM2 a": Sampler(kind="KDPM2AncestralDiscreteScheduler", automatic="Karras"),
    "DDIM": Sampler(
        kind="DDIMScheduler",
        options={"clip_sample": False, "set_alpha_to_one": False},
        automatic="DDIM",
        schedules=FIXED,
    ),
    "PLMS": Sampler(
        kind="PNDMScheduler",
        options={"skip_prk_steps": True, "set_alpha_to_one": False},
        automatic="DDIM",
        schedules=FIXED,
    ),
    "UniPC": Sampler(kind="UniPCMultistepScheduler", schedules=FIXED),
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A sampler and a schedule by the names that the infotext tells."""

    sampler: str
    schedule: str

    @property
    def kind(self) -> str:
        """Return the name of diffusers' scheduler."""
        return SAMPLERS[self.sampler].kind

    @property
    def options(self) -> dict[str, Any]:
        """Return what this choice sets of that scheduler."""
        sampler = SAMPLERS[self.sampler]
        schedule = sampler.automatic if self.schedule == AUTOMATIC else self.schedule
        return {**sampler.options, **SCHEDULES[schedule]}


def choose(name: str, schedule: str) -> Choice:
    """Find a sampler and a schedule; `DPM++ 2M Karras` is how older WebUIs named both in one."""
    label = _known(schedule, [AUTOMATIC, *SCHEDULES])
    if label is None:
        raise Invalid(
            f"scheduler {schedule!r} is not supported; known are {AUTOMATIC}, {', '.join(SCHEDULES)}"
        )
    found = _known(name, SAMPLERS)
    if found is None and label == AUTOMATIC:
        found, label = _both(name)
    if found is None:
        raise Invalid(f"sampler_name {name!r} is not supported; known are {', '.join(SAMPLERS)}")
    if label not in {AUTOMATIC, *SAMPLERS[found].schedules}:
        fine = ", ".join([AUTOMATIC, *(each for each in SCHEDULES if each in SAMPLERS[found].schedules)])
        raise Invalid(f"scheduler {label} does not go with sampler {found}; with it go {fine}")
    return Choice(sampler=found, schedule=label)


def _both(name: str) -> tuple[str | None, str]:
    """Take a name apart that ends with its schedule."""
    for label in SCHEDULES:
        if name.lower().endswith(f" {label.lower()}"):
            return _known(name[: -len(label) - 1], SAMPLERS), label
    return None, AUTOMATIC


def _known(name: str, names: Mapping[str, Any] | list[str]) -> str | None:
    """Find a name as the WebUI does: `SGM Uniform`, `sgm uniform` and `sgm_uniform` are one."""
    plain = name.lower().replace("_", " ")
    return next((each for each in names if each.lower() == plain), None)
