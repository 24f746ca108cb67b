"""Which tensor of the result comes from which tensors of the parents, and where it will lie.

Keys and shapes are matched as AUTOMATIC1111's WebUI does: the result has A's keys. What B lacks is A's as it
is, what A lacks is left out, and of an inpainting model's first layer those channels take part that B has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .checkpoint import SIZES, Checkpoint, Tensor
from .errors import MergeError
from .precision import BLOCK, FLOATS
from .recipe import ADD_DIFFERENCE, NO_INTERPOLATION, PRECISIONS, Recipe

#: Positions are counted, not learnt: an average of them would be of no use.
COUNTED = "cond_stage_model.transformer.text_model.embeddings.position_ids"
LATENT = 4
#: What a first layer with so many channels is made for.
WIDER = {9: "inpainting", 8: "instruct-pix2pix"}
#: Bytes of the result that are made, and written, at once.
BATCH = 2 * 1024 * 1024


@dataclass(frozen=True)
class Goal:
    """One tensor of the result, the parents' that it is made of, and where in the result it begins."""

    name: str
    kind: str
    parts: "tuple[Tensor, ...]"
    start: int

    @property
    def shape(self) -> "tuple[int, ...]":
        """Its shape is A's."""
        return self.parts[0].shape

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.parts[0].count * SIZES[self.kind]


@dataclass(frozen=True)
class Segment:
    """At most a block of numbers that are made in one go, and where each parent's begin."""

    goal: Goal
    count: int
    starts: "tuple[int, ...]"


@dataclass
class Report:
    """What became of the keys: a person should know what was not merged."""

    merged: int = 0
    kept: "list[str]" = field(default_factory=list)
    dropped: "list[str]" = field(default_factory=list)
    partial: "list[str]" = field(default_factory=list)
    kind: str = ""


@dataclass(frozen=True)
class Plan:
    """The result before it is made."""

    goals: "tuple[Goal, ...]"
    report: Report

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(each.size for each in self.goals)

    def batches(self) -> "Iterator[list[Segment]]":
        """Cut the result into pieces of about BATCH bytes, in the order in which they lie."""
        batch: list[Segment] = []
        size = 0
        for segment in (segment for goal in self.goals for segment in _segments(goal)):
            length = segment.count * SIZES[segment.goal.kind]
            if batch and size + length > BATCH:
                yield batch
                batch, size = [], 0
            batch.append(segment)
            size += length
        if batch:
            yield batch


def make(recipe: Recipe, parents: "Sequence[Checkpoint]") -> Plan:
    """Match the parents' keys; refuse shapes that do not go together."""
    report = Report()
    sources = {name: _parts(name, recipe, parents, report) for name in parents[0].tensors}
    if len(parents) > 1:
        report.dropped = [name for name in parents[1].tensors if name not in parents[0].tensors]
        if not report.merged:
            raise MergeError(
                f"{parents[1].name} shares no key with {parents[0].name}: there is nothing to merge"
            )
    kinds = {name: _kind(parts[0], recipe) for name, parts in sources.items()}
    # the format wants numbers aligned: the widest first, and otherwise in A's order
    order = sorted(sources, key=lambda name: (-SIZES[kinds[name]], sources[name][0].start))
    goals, start = [], 0
    for name in order:
        goals.append(Goal(name, kinds[name], sources[name], start))
        start += goals[-1].size
    return Plan(tuple(goals), report)


def _parts(
    name: str, recipe: Recipe, parents: "Sequence[Checkpoint]", report: Report
) -> "tuple[Tensor, ...]":
    """Return the tensors that one of the result is made of, A's first; A's alone where nothing is merged."""
    own = parents[0].tensors[name]
    others = [each.tensors.get(name) for each in parents[1:]]
    if recipe.method == NO_INTERPOLATION:
        return (own,)
    if "model" not in name or name == COUNTED or None in others:
        report.kept.append(name)
        return (own,)
    parts = (own, *(each for each in others if each is not None))
    if any(each.kind not in FLOATS for each in parts):
        _check_kinds(name, parents, parts)
        report.kept.append(name)
        return (own,)
    _check_shapes(name, recipe, parents, parts, report)
    report.merged += 1
    return parts


def _check_kinds(name: str, parents: "Sequence[Checkpoint]", parts: "tuple[Tensor, ...]") -> None:
    """Numbers that are counted stay A's; a type too small to calculate with is refused."""
    for parent, part in zip(parents, parts, strict=True):
        if part.kind.startswith("F8"):
            raise MergeError(
                f"{parent.name}: {name} is {part.kind}; only fp16, bf16, fp32 and fp64 are merged"
            )


def _check_shapes(
    name: str,
    recipe: Recipe,
    parents: "Sequence[Checkpoint]",
    parts: "tuple[Tensor, ...]",
    report: Report,
) -> None:
    own, other = parts[0].shape, parts[1].shape
    if recipe.method == ADD_DIFFERENCE and _plain(other) != _plain(parts[2].shape):
        raise MergeError(
            f"{name} is {_times(other)} in {parents[1].name}, but {_times(parts[2].shape)} in "
            f"{parents[2].name}: their difference cannot be taken"
        )
    if _plain(own) == _plain(other):
        return
    if _is_first_layer(other, own):
        kind = WIDER[other[1]]
        raise MergeError(
            f"{parents[1].name} is an {kind} model, {parents[0].name} is not: make it the first, A"
        )
    if not _is_first_layer(own, other):
        raise MergeError(
            f"{name} is {_times(own)} in {parents[0].name}, but {_times(other)} in {parents[1].name}: "
            "they are of different architectures"
        )
    report.partial.append(name)
    report.kind = WIDER[own[1]]


def _is_first_layer(wide: "tuple[int, ...]", narrow: "tuple[int, ...]") -> bool:
    """Say whether the one is an inpainting or editing model's first layer, and the other a normal one's."""
    if len(wide) != 4 or len(narrow) != 4 or wide[1] not in WIDER or narrow[1] != LATENT:
        return False
    return (wide[0], *wide[2:]) == (narrow[0], *narrow[2:])


def _plain(shape: "tuple[int, ...]") -> "tuple[int, ...]":
    """Drop trailing ones: some tools write 1x1 convolutions as matrices."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _times(shape: "tuple[int, ...]") -> str:
    return "x".join(map(str, shape)) or "a number"


def _kind(own: Tensor, recipe: Recipe) -> str:
    if own.kind not in FLOATS:
        return own.kind
    if recipe.precision is not None:
        return PRECISIONS[recipe.precision]
    return "F32" if own.kind == "F64" else own.kind


def _segments(goal: Goal) -> "Iterator[Segment]":
    own = goal.parts[0]
    if len(goal.parts) == 1 or own.count == goal.parts[1].count:
        yield from _blocks(goal, own.count, tuple(each.start for each in goal.parts))
        return
    # row by row: the channels that both have, then those that only A has
    rows, shared = own.shape[0], goal.parts[1].count // own.shape[0]
    width = own.count // rows
    for row in range(rows):
        starts = [own.start + row * width * own.width]
        starts += [each.start + row * shared * each.width for each in goal.parts[1:]]
        yield from _blocks(goal, shared, tuple(starts))
        yield from _blocks(goal, width - shared, (starts[0] + shared * own.width,))


def _blocks(goal: Goal, count: int, starts: "tuple[int, ...]") -> "Iterator[Segment]":
    widths = [each.width for each in goal.parts[: len(starts)]]
    for done in range(0, count, BLOCK):
        here = tuple(start + done * width for start, width in zip(starts, widths, strict=True))
        yield Segment(goal, min(BLOCK, count - done), here)
