from __future__ import annotations

import pydoc_data.topics

import pytest
from gpt_neo import corpus
from gpt_neo.corpus import Document
from gpt_neo.errors import Failure
from hypothesis import given
from hypothesis import strategies as st

TEXT = "\n\n".join(pydoc_data.topics.topics.values())


def folder(tmp_path, files: dict[str, bytes | str]):
    for name, content in files.items():
        path = tmp_path / "training" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tmp_path / "training"


def lines(texts) -> set[str]:
    return {" ".join(line.split()) for text in texts for line in text.splitlines()}


def test_every_file_below_the_channel_is_read_in_order(tmp_path):
    found = corpus.read(folder(tmp_path, {"b.txt": TEXT, "a/deep.md": "\ufeffone\r\ntwo", "c.txt": "\n"}))

    assert [("a/deep.md", "one\ntwo"), ("b.txt", TEXT)] == [(each.name, each.text) for each in found]


def test_hidden_files_are_no_data(tmp_path):
    found = corpus.read(folder(tmp_path, {"a.txt": TEXT, ".DS_Store": b"\0\1", ".git/objects/x": b"\xff"}))

    assert ["a.txt"] == [each.name for each in found]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"text\0more", "picture.bin in channel training is binary, not UTF-8 text: byte 4 is NUL"),
        (b"\x89PNG\r\n", "picture.bin in channel training is not UTF-8 text: byte 0 is 0x89"),
        ("Grüße".encode("latin-1"), "picture.bin in channel training is not UTF-8 text: byte 2 is 0xfc"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path, content, expected):
    with pytest.raises(Failure, match=expected):
        corpus.read(folder(tmp_path, {"a.txt": TEXT, "picture.bin": content}))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"empty.txt": ""}, "holds 0 bytes of text in empty.txt; training needs at least 1000"),
        ({"blank.txt": "\n" * 5000}, "holds 0 bytes"),
        ({f"{n}.txt": "hi" for n in range(7)}, "14 bytes of text in 0.txt, 1.txt, .* and 2 more"),
    ],
)
def test_too_little_text_is_a_failure_that_says_what_was_found(tmp_path, files, expected):
    with pytest.raises(Failure, match=expected):
        corpus.read(folder(tmp_path, files))


def test_an_empty_channel_is_a_failure(tmp_path):
    (tmp_path / "training").mkdir()

    with pytest.raises(Failure, match="0 bytes of text in nothing"):
        corpus.read(corpus.channel(tmp_path))


def test_the_only_channel_is_the_training_channel_whatever_its_name(tmp_path):
    (tmp_path / "train").mkdir()

    assert tmp_path / "train" == corpus.channel(tmp_path)


@pytest.mark.parametrize(("names", "found"), [([], "nothing"), (["one", "two"], "one, two")])
def test_without_one_training_channel_the_failure_lists_what_is_there(tmp_path, names, found):
    for name in names:
        (tmp_path / name).mkdir()

    with pytest.raises(Failure, match=f"found {found}$"):
        corpus.channel(tmp_path)


def test_about_the_given_share_is_held_out():
    text = corpus.split([Document(name="topics", text=TEXT)], share=0.1, seed=1)

    assert 0.05 < sum(map(len, text.held_out)) / len(TEXT) < 0.2


def test_much_text_holds_out_no_more_than_is_quick_to_measure():
    much = [Document(name=str(n), text=TEXT.replace("the ", f"the {n} ")) for n in range(20)]

    text = corpus.split(much, share=0.5, seed=1)

    assert sum(map(len, text.held_out)) < 2 * corpus.HELD_OUT_BYTES


def test_nothing_held_out_can_be_learned():
    text = corpus.split([Document(name="topics", text=TEXT)], share=0.1, seed=1)

    shared = lines(text.training) & lines(text.held_out)

    assert set() == {each for each in shared if len(each) >= corpus.TELLING_LENGTH}


def test_copies_of_held_out_text_leave_the_training_part():
    whole = [Document(name="a", text=TEXT), Document(name="b", text=TEXT.replace("\n\n", "\n\n\n"))]
    moved = Document(name="c", text="\n\n".join(reversed(TEXT.split("\n\n"))))

    text = corpus.split([*whole, moved], share=0.1, seed=1)

    shared = lines(text.training) & lines(text.held_out)
    assert set() == {each for each in shared if len(each) >= corpus.TELLING_LENGTH}


def test_what_was_held_out_stays_held_out_when_text_is_added():
    before = corpus.split([Document(name="a", text=TEXT)], share=0.1, seed=1)
    after = corpus.split([Document(name="a", text="A new start.\n\n" + TEXT)], share=0.1, seed=1)

    assert len(before.held_out) - 1 <= len(set(before.held_out) & set(after.held_out))


def test_another_seed_holds_out_other_text():
    one, two = (corpus.split([Document(name="a", text=TEXT)], share=0.1, seed=seed) for seed in (1, 2))

    assert one.held_out != two.held_out


def test_a_small_text_still_has_two_parts():
    small = "\n\n".join(f"Paragraph {n} says something of its own." for n in range(6))

    text = corpus.split([Document(name="a", text=small)], share=0.05, seed=1)

    assert 1 == len(text.held_out)
    assert len(small) - 50 < sum(map(len, text.training)) < len(small)


def test_one_paragraph_over_and_over_cannot_be_split():
    with pytest.raises(Failure, match="no part of it can be held out"):
        corpus.split([Document(name="a", text="All the same words.\n\n" * 300)], share=0.1, seed=1)


def test_a_single_long_line_can_be_split():
    text = corpus.split([Document(name="a", text=TEXT.replace("\n", " "))], share=0.1, seed=1)

    assert text.held_out
    assert text.training


def test_the_fingerprint_names_the_data():
    one = corpus.split([Document(name="a", text=TEXT)], share=0.1, seed=1)
    again = corpus.split([Document(name="a", text=TEXT)], share=0.2, seed=2)
    other = corpus.split([Document(name="a", text=TEXT + "!")], share=0.1, seed=1)

    assert one.sha256 == again.sha256 != other.sha256


@given(st.text(alphabet="ab \n", max_size=3000), st.sampled_from([1, 8]))
def test_pieces_and_blocks_are_the_whole_text(text, size):
    assert text == "".join(corpus.pieces(text))
    assert text == "".join(corpus.blocks(text, size))
