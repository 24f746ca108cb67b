"""upstream.toml: what it may say, and what is refused by name."""

from pathlib import Path

import companions
import declaration
import pytest
from declaration import Refused

WHOLE = """\
[upstream]
repository = "https://git.example/webui"
branch = "master"
[companions]
k-diffusion = {}
[extensions]
controlnet = { repository = "https://git.example/controlnet.git", pin = "PIN" }
[overrides]
"https://git.example/gone.git" = "/srv/copy"
[packages]
system = ["git"]
requirements = "requirements_versions.txt"
[accelerators.cpu]
python = ["torch==2.1.2"]
""".replace("PIN", "0a" * 20)


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "upstream.toml"
        path.write_text(text)
        return declaration.read(path)

    return read


def test_the_file_of_this_project_is_in_order():
    declared = declaration.read(Path(declaration.__file__).parent / "upstream.toml")

    assert {"cpu", "cuda"} == set(declared.accelerators)
    assert "refs/heads/master" == declared.upstream.reference


def test_a_whole_file_is_read(read):
    declared = read(WHOLE)

    assert "https://git.example/webui" == declared.upstream.repository
    assert "0a" * 20 == declared.extensions["controlnet"].pin
    assert ["k-diffusion"] == list(declared.companions)
    assert ("torch==2.1.2",) == declared.accelerators["cpu"].python


@pytest.mark.parametrize("named", ["https://git.example/gone", "https://git.example/gone.git/"])
def test_an_override_holds_with_and_without_git_at_the_end(read, named):
    assert "/srv/copy" == read(WHOLE).address(named)
    assert "https://git.example/other" == read(WHOLE).address("https://git.example/other")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('branch = "master"', "", "upstream.branch must be there, or else tag"),
        ('branch = "master"', 'branch = "master"\ntag = "v1"', "one of the two"),
        ('branch = "master"', 'branch = "--upload-pack=x"', "upstream.branch must be the name of a branch"),
        ('branch = "master"', 'branch = "master"\nbranhc = "x"', "upstream.branhc must be left out"),
        ("https://git.example/webui", "ext::sh -c id", "upstream.repository must be a URL by https"),
        ("https://git.example/webui", "relative/path", "the whole path of a folder"),
        ("https://git.example/webui", "https://me:secret@git.example/webui", "without a password"),
        ('pin = "' + "0a" * 20 + '"', 'pin = "v1"', "extensions.controlnet.pin must be a commit"),
        ('repository = "https://git.example/controlnet.git", ', "", "extensions.controlnet.repository"),
        ("controlnet =", '"../up" =', "extensions.../up must be named as a folder"),
        ("k-diffusion = {}", "k-diffusion = 3", "companions.k-diffusion must be a table"),
        ("/srv/copy", "srv copy", "overrides.https://git.example/gone.git must be"),
        ('["git"]', '["--allow-unauthenticated"]', "packages.system must be a list of names"),
        ('["torch==2.1.2"]', '["-r /etc/passwd"]', "accelerators.cpu.python must be a list of names"),
        ("requirements_versions.txt", "../secrets.txt", "packages.requirements must be a file inside"),
        ("[upstream]", "[upstream", "cannot be read"),
    ],
)
def test_what_is_wrong_is_refused_by_name(read, old, new, reason):
    assert old in WHOLE

    with pytest.raises(Refused) as refused:
        read(WHOLE.replace(old, new))

    assert reason in str(refused.value)
    assert "upstream.toml" in str(refused.value)
    assert "secret@" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"nothing\.toml: cannot be read"):
        declaration.read(tmp_path / "nothing.toml")


LAUNCHER = """\
import os

def prepare_environment():
    a_repo = os.environ.get("A_REPO", "https://git.example/a.git")
    b_commit = os.environ.get("B_COMMIT_HASH", "ef")
    git_clone(a_repo, repo_dir("a"), "A", b_commit)
    git_clone("https://git.example/b", repo_dir("b"), "B")
    git_clone(computed(), repo_dir("c"), "C")
"""


def test_what_upstream_clones_is_read_without_running_it(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "launch_utils.py").write_text(LAUNCHER)

    found = companions.wanted(tmp_path)

    assert {
        "a": companions.Clone(folder="a", repository="https://git.example/a.git", commit="ef"),
        "b": companions.Clone(folder="b", repository="https://git.example/b", commit=None),
    } == found


def test_an_upstream_without_a_launcher_clones_nothing(tmp_path):
    assert {} == companions.wanted(tmp_path)


def test_a_launcher_that_is_no_python_is_refused(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "launch_utils.py").write_text("def broken(:\n")

    with pytest.raises(Refused, match=r"launch_utils\.py"):
        companions.wanted(tmp_path)
