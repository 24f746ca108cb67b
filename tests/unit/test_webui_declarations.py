"""What our source says is followed."""

from pathlib import Path

import pytest
from webui_fakes import DECLARED, HEAD, URL

from atelier.contract.webui import DECLARATION
from atelier.lambdas.domain.webui import Upstream
from atelier.lambdas.errors import Invalid
from atelier.lambdas.services.webui.declarations import read


def test_a_branch_or_a_tag_is_followed_by_its_full_name():
    tag = DECLARED.replace('branch = "master"', 'tag = "v1.10.1"')

    assert Upstream(url=URL, reference="refs/heads/master") == read(DECLARED)
    assert Upstream(url=URL, reference="refs/tags/v1.10.1") == read(tag)
    assert f"the tag v1.10.1 of {URL}" == read(tag).name


def test_a_pin_is_kept():
    assert HEAD == read(f'{DECLARED}pin = "{HEAD}"\n').pin


def test_a_repository_that_moved_is_followed_where_it_is():
    assert "/elsewhere" == read(f'{DECLARED}[overrides]\n"{URL}" = "/elsewhere"\n').url


def test_what_builds_read_beside_it_is_none_of_its_business():
    assert URL == read(f"{DECLARED}[companions]\nBLIP = {{}}\n").url


def test_what_is_declared_here_can_be_read():
    text = Path(__file__).parents[2].joinpath(DECLARATION).read_text(encoding="utf-8")

    assert read(text).url.startswith("https://")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[upstream", "is not TOML"),
        ("", "no table [upstream]"),
        ("upstream = 1", "no table [upstream]"),
        ("[upstream]\nbranch = 'main'", "repository is missing"),
        ("[upstream]\nrepository = 7\nbranch = 'main'", "repository is missing, or no text"),
        (f"[upstream]\nrepository = '{URL}'", "a branch or a tag, one of the two"),
        (f"{DECLARED}tag = 'v1'", "a branch or a tag, one of the two"),
        (f"{DECLARED}brunch = 'x'", "[upstream] has no brunch"),
        (f"{DECLARED}pin = 'v1'", "not a commit of 40 hexadecimal digits"),
        (f"[upstream]\nrepository = '{URL}'\nbranch = 'a b'", "'a b' is no name of a branch"),
        (f"[upstream]\nrepository = '{URL}'\nbranch = '-x'", "'-x' is no name of a branch"),
        (f"[upstream]\nrepository = '{URL}'\ntag = 'a..b'", "'a..b' is no name of a tag"),
        (f"{DECLARED}[overrides]\n'{URL}' = 3\n", f"says no place for {URL}"),
        (f"overrides = 3\n{DECLARED}", "[overrides] is no table"),
    ],
)
def test_what_is_declared_wrongly_is_refused_with_the_file_and_the_reason(text, words):
    with pytest.raises(Invalid) as refused:
        read(text)

    assert DECLARATION in str(refused.value)
    assert words in str(refused.value)
