import hashlib
import io
import subprocess
import sys
import zipfile
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from atelier import bundle, release

FILES = {"b/two.py": b"2", "a/one.py": b"1"}


def names(body):
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.namelist()


def test_the_same_files_are_the_same_bytes_in_any_order():
    assert bundle.zipped(FILES, "x") == bundle.zipped(dict(reversed(FILES.items())), "x")


def test_the_key_names_the_content():
    key, body = bundle.zipped(FILES, "lambdas")

    assert f"lambdas/{hashlib.sha256(body).hexdigest()[:16]}.zip" == key
    assert key != bundle.zipped({**FILES, "a/one.py": b"3"}, "lambdas")[0]


def test_another_user_may_read_what_is_in_it():
    _, body = bundle.zipped(FILES, "x")

    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert {0o100644} == {each.external_attr >> 16 for each in archive.infolist()}


def test_functions_hold_the_contract_and_the_lambdas_and_nothing_else():
    _, body = bundle.functions()
    found = names(body)

    assert "atelier/__init__.py" in found
    assert "atelier/contract/settings.py" in found
    assert "atelier/lambdas/handlers/pipeline.py" in found
    sources = [each for each in found if each.endswith(".py")]
    assert {"contract", "lambdas", "__init__.py"} == {each.split("/")[1] for each in sources}
    assert not [each for each in found if not each.endswith((".py", ".pyc"))]


def test_every_module_lies_beside_its_bytecode():
    found = names(bundle.functions()[1])
    cached = {each for each in found if each.endswith(".pyc")}

    assert cached == {cache_from_source(each) for each in found if each.endswith(".py")}


def test_bytecode_is_taken_without_a_look_at_the_sources(tmp_path):
    for name, body in {
        "known.py": b"told = 'other'",
        **bundle.bytecode({"known.py": b"told = 'this'"}),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(body)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import known; print(known.told)"

    told = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)

    assert "this\n" == told.stdout


def test_the_same_sources_are_the_same_bytecode_wherever_they_are_compiled():
    sources = {"one.py": b"def f(x):\n    return x in {'a', 'b', 'c'} or {1: 'a'}[x]\n"}

    assert bundle.bytecode(sources) == bundle.bytecode(sources)


def test_a_source_that_does_not_compile_is_shipped_as_it_is():
    compiled = bundle.bytecode({"new.py": b"x = 1", "old.py": b"print 'this is Python 2'"})

    assert {cache_from_source("new.py")} == compiled.keys()


def test_the_bundle_runs_with_nothing_but_itself_and_the_layer(tmp_path):
    """A function's import must not reach past its zip, its layer and the runtime's boto3."""
    for _, body in (bundle.functions(), bundle.layer()):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            archive.extractall(tmp_path)
    boto = Path(sys.modules["botocore"].__file__).parents[1]
    (tmp_path / "runtime").mkdir()
    for package in ("boto3", "botocore", "s3transfer", "dateutil", "six.py", "urllib3"):
        (tmp_path / "runtime" / package).symlink_to(boto / package)
    paths = [str(tmp_path), str(tmp_path / "python"), str(tmp_path / "runtime")]
    code = f"import sys; sys.path[:0] = {paths!r}\n" + "".join(
        f"import atelier.lambdas.handlers.{each}\n" for each in ("pipeline", "flow", "serving")
    )

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


def fake_pip(tmp_path, monkeypatch, files):
    """An installer that writes *files*, and counts its runs."""
    runs = []

    def install(lock, folder):
        runs.append(lock)
        for name, body in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)

    monkeypatch.setattr(bundle, "_install", install)
    lock = tmp_path / "requirements.lock"
    lock.write_text("x==1 --hash=sha256:00\n")
    return lock, runs


def test_a_layer_holds_packages_under_python_without_pips_traces(tmp_path, monkeypatch):
    files = {
        "x/__init__.py": b"",
        "x/__pycache__/y.pyc": b"1",
        "bin/x": b"#!",
        "x-1.dist-info/RECORD": b"",
        "x-1.dist-info/METADATA": b"m",
    }
    lock, _ = fake_pip(tmp_path, monkeypatch, files)

    _, body = bundle.layer(lock, tmp_path / "cache")

    cached = cache_from_source("python/x/__init__.py")
    assert ["python/x-1.dist-info/METADATA", "python/x/__init__.py", cached] == names(body)


def test_a_layer_is_built_once_for_a_lock(tmp_path, monkeypatch):
    lock, runs = fake_pip(tmp_path, monkeypatch, {"x.py": b""})

    assert bundle.layer(lock, tmp_path / "cache") == bundle.layer(lock, tmp_path / "cache")
    assert 1 == len(runs)

    lock.write_text("x==2 --hash=sha256:00\n")
    bundle.layer(lock, tmp_path / "cache")
    assert 2 == len(runs)


def test_compiled_code_is_refused_by_name(tmp_path, monkeypatch):
    lock, _ = fake_pip(tmp_path, monkeypatch, {"x/fast.cpython-311-x86_64-linux-gnu.so": b""})

    with pytest.raises(bundle.BundleError, match=r"fast.*\.so is compiled code"):
        bundle.layer(lock, tmp_path / "cache")


def test_a_lock_that_cannot_be_installed_says_why(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("no-hash-at-all==1\n")

    with pytest.raises(bundle.BundleError, match=r"requirements\.lock: .*hash"):
        bundle.layer(lock, tmp_path / "cache")


def test_a_release_is_laid_out_as_the_code_bucket_will_be(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "layer", lambda: bundle.zipped({"python/x.py": b""}, "layers"))

    keys = release.release(tmp_path / "out")

    assert {"CODE_KEY", "LAYER_KEY", "SERVING_TEMPLATE_KEY"} == keys.keys()
    assert all((tmp_path / "out" / key).is_file() for key in keys.values())
    assert keys == release.release(tmp_path / "again")
