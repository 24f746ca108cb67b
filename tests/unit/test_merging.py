"""Merges: arithmetic, keys and shapes as the WebUI treats them, metadata, and what is refused."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import safetensors_files as files
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors_files import FIRST, UNET, numbers, small, write

from atelier.merging import merge as merging
from atelier.merging.errors import MergeError
from atelier.merging.merge import Parent
from atelier.merging.precision import BLOCK, LIMITS, Scratch, decode, encode, magnitude
from atelier.merging.recipe import Recipe

KINDS = {"fp16": "F16", "bf16": "BF16", "fp32": "F32"}
POSITIONS = "cond_stage_model.transformer.text_model.embeddings.position_ids"


def merged(folder, recipe, *tensors, **more):
    parents = []
    for at, each in enumerate(tensors):
        path = each if isinstance(each, Path) else write(folder / f"{'abc'[at]}.safetensors", each)
        parents.append(Parent(path, str(path)))
    return merging.merge(recipe, parents, folder / "out.safetensors", **more)


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def in_memory(method, m, *values):
    """The WebUI's arithmetic, of whole tensors, in fp32."""
    a, b, *c = (np.asarray(each, np.float32) for each in values)
    m32, rest = np.float32(m), np.float32(1 - m)
    return a + m32 * (b - c[0]) if method == "add_difference" else rest * a + m32 * b


def rounded(kind, values):
    if kind == "BF16":
        return (files.brain(values).astype(np.uint32) << 16).view(np.float32)
    return values.astype(files.TYPES[kind])


@pytest.mark.parametrize("precision", KINDS)
@pytest.mark.parametrize(
    ("first", "second"), [("F16", "F16"), ("F16", "F32"), ("BF16", "F64"), ("F32", "BF16")]
)
@pytest.mark.parametrize("m", [0.0, 0.3, 1.0])
def test_a_weighted_sum_is_fp32_arithmetic_rounded_once(tmp_path, first, second, precision, m):
    a, b = small(first), small(second, seed=5)

    result = merged(tmp_path, Recipe("weighted_sum", m, precision), a, b)

    sources = [files.read(tmp_path / f"{each}.safetensors") for each in "ab"]
    found, table = files.read(result.path), files.header(result.path)
    for name in a:
        wanted = rounded(KINDS[precision], in_memory("weighted_sum", m, *(each[name] for each in sources)))
        assert KINDS[precision] == table[name]["dtype"]
        np.testing.assert_array_equal(wanted, found[name])
    assert len(a) == result.report.merged


@pytest.mark.parametrize("kind", KINDS.values())
def test_a_difference_is_added_as_fp32_arithmetic_has_it(tmp_path, kind):
    tensors = [small(kind, seed=each) for each in (0, 5, 9)]

    result = merged(tmp_path, Recipe("add_difference", 0.7), *tensors)

    sources = [files.read(tmp_path / f"{each}.safetensors") for each in "abc"]
    found = files.read(result.path)
    for name in tensors[0]:
        wanted = rounded(kind, in_memory("add_difference", 0.7, *(each[name] for each in sources)))
        np.testing.assert_array_equal(wanted, found[name])


def test_no_interpolation_writes_a_checkpoint_in_another_precision(tmp_path):
    tensors = small("F32", **{POSITIONS: ("I64", np.arange(77)[None])})

    result = merged(tmp_path, Recipe("no_interpolation", precision="fp16"), tensors)

    found = files.read(result.path)
    np.testing.assert_array_equal(tensors[FIRST][1].astype(np.float16), found[FIRST])
    np.testing.assert_array_equal(np.arange(77)[None], found[POSITIONS])


def test_tensors_of_many_blocks_and_of_none_are_merged_alike(tmp_path):
    shapes = {f"{UNET}{each}": each for each in (1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 3)}
    a = small(**{name: ("F16", numbers(size, seed=size)) for name, size in shapes.items()})
    b = small(**{name: ("F16", numbers(size, seed=size + 1)) for name, size in shapes.items()})
    a[f"{UNET}none"] = b[f"{UNET}none"] = ("F16", np.zeros((0, 4)))

    result = merged(tmp_path, Recipe("weighted_sum", 0.25), a, b)

    sources, found = [files.read(tmp_path / f"{each}.safetensors") for each in "ab"], files.read(result.path)
    for name in a:
        wanted = in_memory("weighted_sum", 0.25, *(each[name] for each in sources)).astype(np.float16)
        np.testing.assert_array_equal(wanted, found[name])


HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def half(values):
    values, out, scratch = np.asarray(values, np.float32), [], Scratch()
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK].copy()
        raw = np.empty(2 * len(block), np.uint8)
        assert encode(block, "F16", raw, scratch)
        out.append(raw.view(np.float16))
    return np.concatenate(out)


def test_every_fp16_number_is_read_and_written_as_it_is():
    finite = HALVES[np.isfinite(HALVES)]
    out = np.empty(len(finite), np.float32)

    decode(finite.view(np.uint8), "F16", np.float32(1), out)

    np.testing.assert_array_equal(finite.astype(np.float32), out)
    np.testing.assert_array_equal(finite.view(np.uint16), half(out).view(np.uint16))


def test_what_lies_between_two_fp16_numbers_goes_to_the_nearest_or_the_even_one():
    positive = HALVES[:0x7C00].astype(np.float32)
    middle = (positive[:-1] + positive[1:]) / 2
    values = np.concatenate([middle, np.nextafter(middle, 0), np.nextafter(middle, np.float32(1e9))])
    values = np.concatenate([values, -values])

    np.testing.assert_array_equal(values.astype(np.float16).view(np.uint16), half(values).view(np.uint16))


@given(st.lists(st.floats(width=32, min_value=-65519, max_value=65519), min_size=1, max_size=50))
def test_any_number_is_rounded_as_numpy_rounds_it(values):
    exact = np.array(values, np.float32)

    np.testing.assert_array_equal(exact.astype(np.float16).view(np.uint16), half(exact).view(np.uint16))


@pytest.mark.parametrize("kind", LIMITS)
def test_infinity_and_what_is_no_number_are_seen_in_every_type(kind):
    for value in (np.inf, -np.inf, np.nan, -np.nan):
        bad = np.full(100, 0.5, np.float32)
        bad[70] = value
        raw = np.frombuffer(files.raw(kind, bad), np.uint8) if not np.isnan(value) or kind != "BF16" else None
        if raw is None:
            raw = np.array([0x3F00] * 99 + [0x7FC0], np.uint16).view(np.uint8)

        assert np.inf == magnitude(raw, kind)
        assert 0.5 == magnitude(raw[: 70 * len(raw) // 100], kind)


@pytest.mark.parametrize("kind", [*LIMITS, "F64"])
@given(st.lists(st.floats(width=32, min_value=-60000, max_value=60000), min_size=1, max_size=9))
def test_the_largest_number_is_found_whatever_its_sign(kind, values):
    raw = files.raw(kind, np.array(values, np.float32))
    known = rounded(kind, np.array(values, np.float32)) if kind != "F64" else np.array(values)

    assert np.abs(known).max() == magnitude(np.frombuffer(raw, np.uint8), kind)


def test_only_what_may_be_too_large_is_looked_at_again():
    scratch, out = Scratch(), np.empty(4, np.uint8)
    large = np.float32([1.0, LIMITS["F16"]])

    assert not encode(large.copy(), "F16", out, scratch)
    assert not encode(large.copy(), "F16", out, scratch, bound=LIMITS["F16"])
    assert encode(np.float32([1.0, -65504.0]), "F16", out, scratch, bound=65504.0)
    assert [1.0, -65504.0] == out.view(np.float16).tolist()


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from([f"{UNET}{each}" for each in "abcdef"] + ["betas", POSITIONS]),
        st.tuples(st.sampled_from(["F16", "BF16", "F32"]), st.lists(st.integers(0, 4), max_size=3)),
    ),
    st.floats(0, 1),
)
def test_keys_and_shapes_of_any_kind_are_merged_as_in_memory(tmp_path_factory, drawn, m):
    folder = tmp_path_factory.mktemp("drawn")
    a = small(**{name: (kind, numbers(*shape, seed=3)) for name, (kind, shape) in drawn.items()})
    b = small(seed=8, **{name: ("F16", numbers(*shape, seed=4)) for name, (_, shape) in drawn.items()})

    result = merged(folder, Recipe("weighted_sum", m), a, b)

    sources, found = [files.read(folder / f"{each}.safetensors") for each in "ab"], files.read(result.path)
    assert a.keys() == found.keys()
    for name, (kind, _) in a.items():
        wanted = sources[0][name]
        if "model" in name and name != POSITIONS:
            wanted = in_memory("weighted_sum", m, wanted, sources[1][name])
        np.testing.assert_array_equal(rounded(kind, wanted), found[name])


def test_what_b_lacks_stays_as_it_is_and_what_a_lacks_is_left_out(tmp_path):
    a = small(**{f"{UNET}own": ("F16", numbers(5)), "betas": ("F32", numbers(3))})
    b = small(seed=2, **{f"{UNET}other": ("F16", numbers(5)), "betas": ("F32", numbers(3, seed=9))})

    result = merged(tmp_path, Recipe("weighted_sum", 0.5), a, b)

    found = files.read(result.path)
    assert a.keys() == found.keys()
    np.testing.assert_array_equal(a[f"{UNET}own"][1].astype(np.float16), found[f"{UNET}own"])
    np.testing.assert_array_equal(a["betas"][1], found["betas"])
    assert ([f"{UNET}own", "betas"], [f"{UNET}other"]) == (result.report.kept, result.report.dropped)


def test_positions_are_the_first_parents(tmp_path):
    a = small(**{POSITIONS: ("I64", np.arange(77)[None])})
    b = small(**{POSITIONS: ("F32", np.zeros((1, 77)))})

    found = files.read(merged(tmp_path, Recipe("weighted_sum", 0.5), a, b).path)

    np.testing.assert_array_equal(np.arange(77)[None], found[POSITIONS])


def test_the_oldest_names_of_the_text_encoder_meet_todays(tmp_path):
    old, new = (f"cond_stage_model.transformer.{each}final_layer_norm.bias" for each in ("", "text_model."))

    result = merged(
        tmp_path,
        Recipe("weighted_sum", 0.5),
        small(**{old: ("F32", np.zeros(4))}),
        small(**{new: ("F32", np.ones(4))}),
    )

    np.testing.assert_array_equal(np.full(4, 0.5), files.read(result.path)[new])


@pytest.mark.parametrize(("channels", "kind"), [(9, "inpainting"), (8, "instruct-pix2pix")])
def test_an_inpainting_models_first_layer_is_merged_where_both_have_it(tmp_path, channels, kind):
    a, b = small("F32"), small("F16", seed=4)
    a[FIRST] = ("F32", numbers(8, channels, 3, 3))

    result = merged(tmp_path, Recipe("weighted_sum", 0.3, "fp16"), a, b)

    wanted = a[FIRST][1].copy()
    other = files.read(tmp_path / "b.safetensors")[FIRST]
    wanted[:, :4] = in_memory("weighted_sum", 0.3, wanted[:, :4], other)
    np.testing.assert_array_equal(wanted.astype(np.float16), files.read(result.path)[FIRST])
    assert ([FIRST], kind) == (result.report.partial, result.report.kind)


def test_an_inpainting_model_must_be_the_first(tmp_path):
    b = small()
    b[FIRST] = ("F16", numbers(8, 9, 3, 3))

    with pytest.raises(MergeError, match=r"b.safetensors is an inpainting model.*make it the first"):
        merged(tmp_path, Recipe("weighted_sum", 0.3), small(), b)


def test_a_convolution_meets_the_matrix_that_it_is_elsewhere(tmp_path):
    name = f"{UNET}proj"
    a, b = small(**{name: ("F32", numbers(6, 5, 1, 1))}), small(**{name: ("F32", numbers(6, 5, seed=3))})

    found = files.read(merged(tmp_path, Recipe("weighted_sum", 1.0), a, b).path)

    np.testing.assert_array_equal(b[name][1][..., None, None], found[name])


@pytest.mark.parametrize(
    ("recipe", "tensors", "said"),
    [
        (Recipe("sum"), 2, "method 'sum' is none of"),
        (Recipe("weighted_sum", 1.5), 2, "multiplier 1.5 is not between 0 and 1"),
        (Recipe("weighted_sum", float("nan")), 2, "multiplier nan is not"),
        (Recipe("weighted_sum", 0.5, "fp8"), 2, "precision 'fp8' is none of"),
        (Recipe("weighted_sum"), 3, "weighted_sum takes 2 checkpoints, not 3"),
        (Recipe("add_difference"), 2, "add_difference takes 3 checkpoints, not 2"),
        (Recipe("no_interpolation"), 2, "no_interpolation takes one checkpoint, not 2"),
    ],
)
def test_what_no_recipe_is_is_refused(tmp_path, recipe, tensors, said):
    with pytest.raises(MergeError, match=said):
        merged(tmp_path, recipe, *[small()] * tensors)


def test_another_architecture_is_refused_by_the_key_that_differs(tmp_path):
    b = small()
    b[f"{UNET}out.2.bias"] = ("F16", numbers(9))

    with pytest.raises(MergeError, match=r"out.2.bias is 7 in .*a.safetensors, but 9 in .*b.safetensors"):
        merged(tmp_path, Recipe("weighted_sum"), small(), b)


def test_a_difference_of_different_shapes_is_refused(tmp_path):
    c = small()
    c[f"{UNET}out.2.bias"] = ("F16", numbers(9))

    with pytest.raises(MergeError, match=r"difference cannot be taken"):
        merged(tmp_path, Recipe("add_difference"), small(), small(), c)


def test_a_checkpoint_that_shares_no_key_is_refused(tmp_path):
    with pytest.raises(MergeError, match="shares no key"):
        merged(tmp_path, Recipe("weighted_sum"), small(), {f"{UNET}else": ("F16", numbers(3))})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lora_unet_down_blocks_0.lora_up.weight", "it is a LoRA"),
        ("decoder.conv_in.weight", "it is a VAE"),
        ("anything", "it has no tensor model.diffusion_model"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_checkpoint_is_refused_by_what_it_is(tmp_path, name, said, place):
    tensors = [small(), small()]
    tensors[place] = {name: ("F16", numbers(3))}

    with pytest.raises(MergeError, match=rf"{'ab'[place]}.safetensors is not a Stable Diffusion.*{said}"):
        merged(tmp_path, Recipe("weighted_sum"), *tensors)


ENTRY = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}


def refused(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(MergeError) as caught:
        merged(tmp_path, Recipe("no_interpolation"), path)
    assert not (tmp_path / "out.safetensors").exists()
    return str(caught.value)


def with_header(table, body=b"\0" * 4):
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + body


@pytest.mark.parametrize(
    "content",
    [b"", b"\x02", b"\xff" * 200, (10**9).to_bytes(8, "little") + b"{}", b"<html>not found</html>"],
    ids=["empty", "one byte", "all ones", "a header of a gigabyte", "a web page"],
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    assert "is not a .safetensors file" in refused(tmp_path, content)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + b"x" * 100, b"\x80\x02}" + b"x" * 100])
def test_a_pickle_is_refused_by_what_it_may_hold(tmp_path, content):
    assert "pickled file, which may hold code" in refused(tmp_path, content)


@pytest.mark.parametrize(
    "table",
    [
        b"{not json",
        b"[]",
        b'"x"',
        b"{" * 5000,
        b'{"a": 1}',
        b'{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}',
        {"a": {**ENTRY, "dtype": "F17"}},
        {"a": {**ENTRY, "dtype": []}},
        {"a": {**ENTRY, "shape": [-2]}},
        {"a": {**ENTRY, "shape": [2.0]}},
        {"a": {**ENTRY, "shape": [10**30]}},
        {"a": {**ENTRY, "data_offsets": [0, 4, 8]}},
        {"a": {**ENTRY, "data_offsets": [0, 6]}},
        {"a": {**ENTRY, "data_offsets": [2, 6]}},
        {"a": ENTRY, "b": ENTRY},
        {"a": ENTRY, "__metadata__": 7},
        "\ud800".encode("utf-8", "surrogatepass"),
    ],
    ids=str,
)
def test_a_damaged_header_is_refused(tmp_path, table):
    assert "has a damaged header" in refused(tmp_path, with_header(table, b"\0" * 6))


def test_a_file_cut_short_is_refused_by_how_much_of_it_is_there(tmp_path):
    whole = write(tmp_path / "whole.safetensors", small()).read_bytes()

    assert f"is cut short: it has {len(whole) - 9:,} of {len(whole):,} bytes" in refused(tmp_path, whole[:-9])
    assert "is longer than its header says" in refused(tmp_path, whole + b"x")


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(MergeError, match=r"cannot be read: Is a directory"):
        merging.merge(Recipe("no_interpolation"), [Parent(tmp_path, "x")], tmp_path / "out.safetensors")


@pytest.mark.parametrize("kind", ["F16", "BF16", "F32"])
@pytest.mark.parametrize("place", [0, 1])
def test_a_parent_with_what_is_no_number_is_named(tmp_path, kind, place):
    tensors = [small(kind), small(kind)]
    values = numbers(7)
    values[3] = np.inf
    tensors[place][f"{UNET}out.2.bias"] = (kind, values)

    with pytest.raises(
        MergeError, match=rf"{'ab'[place]}.safetensors is damaged: .*out.2.bias holds infinity"
    ):
        merged(tmp_path, Recipe("weighted_sum", 0.5), *tensors)
    assert ["a.safetensors", "b.safetensors"] == names(tmp_path)


def test_numbers_too_large_for_a_precision_are_refused(tmp_path):
    tensors = small("F32", **{f"{UNET}large": ("F32", np.array([70000.0]))})

    with pytest.raises(MergeError, match="large gets numbers too large for F16: choose bf16 or fp32"):
        merged(tmp_path, Recipe("no_interpolation", precision="fp16"), tensors)
    merged(tmp_path, Recipe("no_interpolation", precision="bf16"), tensors)


def test_a_type_that_is_not_calculated_with_is_refused_by_name(tmp_path):
    header = json.dumps({f"{UNET}a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}).encode()
    path = files.write_raw(tmp_path / "small.safetensors", header, b"\0" * 4)

    with pytest.raises(MergeError, match=rf"{UNET}a is F8_E4M3; only fp16"):
        merged(tmp_path, Recipe("weighted_sum"), path, path)


def test_the_metadata_tell_the_recipe_the_parents_and_theirs(tmp_path):
    first = merged(
        tmp_path,
        Recipe("weighted_sum", 0.3),
        write(tmp_path / "1", small(), {"title": "kept", "sshs_model_hash": "of A alone"}),
        small(seed=3),
    )
    grown = first.path.rename(tmp_path / "grown.safetensors")

    result = merged(tmp_path, Recipe("weighted_sum", 0.5, "fp16"), grown, small(seed=4))

    told = files.header(result.path)["__metadata__"]
    recipe, models = json.loads(told["sd_merge_recipe"]), json.loads(told["sd_merge_models"])
    hashes = {
        each: hashlib.sha256((tmp_path / each).read_bytes()).hexdigest()
        for each in ("1", "grown.safetensors", "b.safetensors")
    }
    assert hashes["grown.safetensors"] == recipe["primary_model_hash"]
    assert hashes["b.safetensors"] == recipe["secondary_model_hash"]
    assert ("Weighted sum", 0.5, True, None) == (
        recipe["interp_method"],
        recipe["multiplier"],
        recipe["save_as_half"],
        recipe["tertiary_model_hash"],
    )
    assert {hashes["1"], hashes["grown.safetensors"], hashes["b.safetensors"]} < models.keys()
    assert 0.3 == models[hashes["grown.safetensors"]]["sd_merge_recipe"]["multiplier"]
    assert ("kept", "pt") == (told["title"], told["format"])
    assert "sshs_model_hash" not in told


def test_hashes_are_those_of_the_file_as_the_webui_takes_them(tmp_path):
    tensors = small(**{f"{UNET}large": ("F32", numbers(400_000))})

    result = merged(tmp_path, Recipe("no_interpolation"), tensors)

    content = result.path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == result.hashes.sha256
    assert result.hashes.sha256[:10] == result.hashes.short
    assert hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8] == result.hashes.legacy
    assert len(content) == result.size


def test_metadata_that_no_merge_wrote_are_no_obstacle(tmp_path):
    a = write(tmp_path / "1", small(), {"sd_merge_models": "[", "sd_merge_recipe": "7"})

    told = merged(tmp_path, Recipe("no_interpolation"), a).metadata

    assert [None] == [each["sd_merge_recipe"] for each in json.loads(told["sd_merge_models"]).values()]


def test_a_parent_that_is_not_what_it_is_said_to_be_is_refused(tmp_path):
    a = write(tmp_path / "a", small())

    with pytest.raises(MergeError, match="x is not what it was: its SHA-256 is"):
        merging.merge(Recipe("no_interpolation"), [Parent(a, "x", "0" * 64)], tmp_path / "out")


def test_a_merge_takes_the_place_of_what_was_there_and_has_its_permissions_from_the_mask(tmp_path):
    (tmp_path / "out.safetensors").write_text("old")

    result = merged(tmp_path, Recipe("no_interpolation"), small())

    (tmp_path / "other").write_text("")
    assert (tmp_path / "other").stat().st_mode == result.path.stat().st_mode
    assert {FIRST, f"{UNET}out.2.bias"} == files.read(result.path).keys()


def test_a_link_is_followed_to_what_is_replaced(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "out.safetensors").symlink_to("real")

    merged(tmp_path, Recipe("no_interpolation"), small())

    assert FIRST in files.read(tmp_path / "real")


@pytest.mark.parametrize("name", ["a.safetensors", "link"])
def test_a_parent_is_never_written_over(tmp_path, name):
    a = write(tmp_path / "a.safetensors", small())
    (tmp_path / "link").symlink_to(a)
    before = a.read_bytes()

    with pytest.raises(MergeError, match="is to be merged itself"):
        merging.merge(Recipe("no_interpolation"), [Parent(a, "a")], tmp_path / name)
    assert before == a.read_bytes()


@pytest.mark.parametrize(("out", "said"), [(".", "is a folder"), ("no/such", "there is no folder")])
def test_a_place_that_cannot_be_written_is_refused(tmp_path, out, said):
    a = write(tmp_path / "a.safetensors", small())

    with pytest.raises(MergeError, match=said):
        merging.merge(Recipe("no_interpolation"), [Parent(a, "a")], tmp_path / out)


def test_what_interrupts_a_merge_leaves_the_target_as_it_was(tmp_path):
    (tmp_path / "out.safetensors").write_text("old")

    def interrupt(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merged(tmp_path, Recipe("no_interpolation"), small(), progress=interrupt)
    assert "old" == (tmp_path / "out.safetensors").read_text()
    assert ["a.safetensors", "out.safetensors"] == names(tmp_path)
    assert [] == [each for each in threading.enumerate() if each.name.startswith("merge")]


def test_progress_ends_where_the_file_does(tmp_path):
    told = []

    tensors = small(**{f"{UNET}large": ("F32", numbers(1_500_000))})
    result = merged(tmp_path, Recipe("no_interpolation"), tensors, progress=lambda *each: told.append(each))

    assert told == sorted(told)
    assert len(told) > 2
    assert (result.size, result.size) == told[-1]


PROGRAM = """
import resource, sys
from pathlib import Path
from atelier.merging.merge import Parent, merge
from atelier.merging.recipe import Recipe
from atelier.merging.errors import MergeError
limit, *paths = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    merge(Recipe("weighted_sum"), [Parent(Path(each), each) for each in paths[:2]], Path(paths[2]))
except MergeError as error:
    sys.exit(str(error))
# not getrusage's: that is what the process was at most before it became this program, too
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def in_a_process(limit, *paths):
    command = [sys.executable, "-c", PROGRAM, str(limit), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_disk_that_takes_no_more_leaves_the_target_as_it_was(tmp_path):
    tensors = small(**{f"{UNET}large": ("F32", numbers(1_500_000))})
    paths = [write(tmp_path / f"{each}.safetensors", tensors) for each in "ab"]
    (tmp_path / "out").write_text("old")

    done = in_a_process(3_000_000, *paths, tmp_path / "out")

    assert 1 == done.returncode
    assert f"{tmp_path / 'out'} cannot be written: File too large; nothing was changed\n" == done.stderr
    assert ["a.safetensors", "b.safetensors", "out"] == names(tmp_path)
    assert "old" == (tmp_path / "out").read_text()


def test_the_longest_name_that_a_file_may_have_will_do(tmp_path):
    name = "\N{ARTIST PALETTE}" * 60 + ".safetensors"  # 252 bytes of the 255 that there are

    parent = write(tmp_path / "a.safetensors", small())

    merging.merge(Recipe("no_interpolation"), [Parent(parent, "a")], tmp_path / name)

    assert ["a.safetensors", name] == names(tmp_path)


def test_what_does_not_reach_the_disk_takes_no_place(tmp_path, monkeypatch):
    """A disk that fails when it is told to keep what it was given cannot be had: the failure is played."""

    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "out.safetensors").write_text("old")
    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(MergeError, match="cannot be written: Input/output error; nothing was changed"):
        merged(tmp_path, Recipe("no_interpolation"), small())
    assert "old" == (tmp_path / "out.safetensors").read_text()
    assert ["a.safetensors", "out.safetensors"] == names(tmp_path)


def test_memory_does_not_grow_with_the_checkpoint(tmp_path):
    used = []
    for megabytes in (4, 100):
        table = {f"{UNET}large": ("F16", np.full((megabytes, 512, 1024), 0.25, np.float16))}
        paths = [write(tmp_path / f"{each}.safetensors", table) for each in "ab"]
        done = in_a_process(0, *paths, tmp_path / "out")
        used.append(int(done.stdout))

    assert used[1] < used[0] + 20 * 1024


def test_a_parent_that_is_cut_short_meanwhile_ends_the_merge(tmp_path):
    tensors = small(**{f"{UNET}large": ("F32", numbers(3_000_000))})
    a = write(tmp_path / "a.safetensors", tensors)

    def cut(done, of):
        os.truncate(a, 1_000_000)

    with pytest.raises(MergeError, match=r"a.safetensors became shorter while it was read"):
        merged(tmp_path, Recipe("no_interpolation"), a, progress=cut, hashed=False)
    assert ["a.safetensors"] == names(tmp_path)
