"""What goes into a build and comes out of it: sources and artifacts."""

import stat
import zipfile

import pytest

from atelier.cloud.services.codebuild.artifacts import key, matching, pack
from atelier.cloud.services.codebuild.buildspec import Artifacts
from atelier.cloud.services.codebuild.failures import Failure
from atelier.cloud.services.codebuild.sources import split_location, unzip


@pytest.fixture
def tree(tmp_path):
    for name in ("a.txt", ".hidden", "out/b.txt", "out/c.json", "out/deep/d.txt", "out/deep/er/a.txt"):
        place = tmp_path / "tree" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (
            {"files": ["**/*"]},
            [".hidden", "a.txt", "out/b.txt", "out/c.json", "out/deep/d.txt", "out/deep/er/a.txt"],
        ),
        ({"files": ["*"]}, [".hidden", "a.txt"]),
        ({"files": ["out/*"]}, ["out/b.txt", "out/c.json"]),
        ({"files": ["out/**/*.txt"]}, ["out/b.txt", "out/deep/d.txt", "out/deep/er/a.txt"]),
        ({"files": ["./a.txt", "out/?.json"]}, ["a.txt", "out/c.json"]),
        ({"files": ["**/*"], "base_directory": "out/deep"}, ["d.txt", "er/a.txt"]),
        ({"files": ["*.txt"], "base_directory": "o*"}, ["b.txt"]),
        ({"files": ["**/*.txt"], "exclude_paths": ["out/deep/**"]}, ["a.txt", "out/b.txt"]),
        ({"files": ["out/**/*.txt"], "discard_paths": True}, ["a.txt", "b.txt", "d.txt"]),
    ],
)
def test_globs_find_files_as_on_aws(tree, wanted, names):
    wanted = {name: tuple(each) if isinstance(each, list) else each for name, each in wanted.items()}

    assert names == sorted(matching(tree, Artifacts(**wanted)))


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"files": ("nothing/*",)}, "no matching artifact paths found"),
        ({"files": ("*",), "base_directory": "gone"}, "no matching base directory path found for gone"),
        ({"files": ("*",), "base_directory": "../.."}, "no matching base directory"),
        ({"files": ("**/a.txt",), "discard_paths": True}, "two files are named a.txt"),
    ],
)
def test_globs_that_find_nothing_are_a_failure(tree, wanted, problem):
    with pytest.raises(Failure, match=problem):
        matching(tree, Artifacts(**wanted))


def test_a_zip_keeps_modes_and_is_the_same_for_the_same_files(tree, tmp_path):
    (tree / "a.txt").chmod(0o755)
    files = matching(tree, Artifacts(files=("**/*",)))
    for name in ("one.zip", "two.zip"):
        pack(tmp_path / name, dict(reversed(files.items())))
        unzip(tmp_path / name, tmp_path / name.removesuffix(".zip"))

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert "out/deep/d.txt" == (tmp_path / "one/out/deep/d.txt").read_text()
    assert (tmp_path / "one/a.txt").stat().st_mode & 0o100
    assert not (tmp_path / "one/.hidden").stat().st_mode & 0o111


def test_links_are_followed_or_kept(tree, tmp_path):
    (tree / "link").symlink_to("a.txt")
    (tree / "folder").symlink_to("out/deep")
    files = matching(tree, Artifacts(files=("link", "folder")))
    pack(tmp_path / "followed.zip", files)
    pack(tmp_path / "kept.zip", files, keep_links=True)
    for name in ("followed", "kept"):
        unzip(tmp_path / f"{name}.zip", tmp_path / name)

    assert "a.txt" == (tmp_path / "followed/link").read_text()
    assert not (tmp_path / "followed/link").is_symlink()
    assert "out/deep/d.txt" == (tmp_path / "followed/folder/d.txt").read_text()
    assert ("a.txt", "out/deep") == tuple(
        str((tmp_path / "kept" / each).readlink()) for each in ("link", "folder")
    )


@pytest.mark.parametrize(
    ("name", "target"),
    [("link", "../../etc"), ("link", "/etc/passwd"), ("../link", "a"), ("a/../../link", "b")],
)
def test_a_link_that_leads_out_of_the_source_is_refused(tmp_path, name, target):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(entry, target)
    (tmp_path / "source").mkdir()

    with pytest.raises(Failure, match="leads out of the source"):
        unzip(tmp_path / "bad.zip", tmp_path / "source")
    assert [] == list((tmp_path / "source").iterdir())


def test_a_file_that_climbs_out_stays_inside(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../../evil", "x")
    unzip(tmp_path / "bad.zip", tmp_path / "source")

    assert [tmp_path / "source/evil"] == list((tmp_path / "source").iterdir())


def test_what_is_no_zip_is_a_failure(tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"hello")

    with pytest.raises(Failure, match="no zip"):
        unzip(tmp_path / "bad.zip", tmp_path)


def test_locations_name_bucket_and_key():
    assert ("b", "k/x.zip") == split_location("arn:aws:s3:::b/k/x.zip") == split_location("b/k/x.zip")
    with pytest.raises(Failure, match="names no object"):
        split_location("bucket")


def test_an_artifacts_key_has_path_build_and_name():
    target = {"path": "/p/", "name": "n.zip", "namespaceType": "BUILD_ID"}

    assert "p/7/n.zip" == key(target, "7")
    assert "n.zip" == key({"name": "n.zip"}, "7")
