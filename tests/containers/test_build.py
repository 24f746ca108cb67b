"""Builds: the same files give the same image, and nothing comes from outside of the context."""

import json
import threading
import zipfile
from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest

from atelier.cloud.context import Container
from atelier.cloud.engines.build import Order, build
from atelier.cloud.engines.dockerfile import DockerfileError
from atelier.cloud.engines.images import DEPENDENCIES, FILES, MANIFEST, ImageStore, digest_of
from atelier.cloud.engines.layers import Interpreter, Layers, interpreter

BASE = "FROM python:3.11-slim-bookworm\nWORKDIR /opt/program\n"


@pytest.fixture
def make(context, store, tmp_path):
    """Build *text* as the Dockerfile of the context; lines of the log are in `make.lines`."""

    def make(text, *, store=store, layers=None, **parts):
        (context / "Dockerfile").write_text(text)
        order = Order(context=context, dockerfile=context / "Dockerfile", **parts)
        make.lines = []
        layers = layers or Layers(tmp_path / "cache")
        return build(order, store=store, layers=layers, log=make.lines.append)

    return make


@pytest.fixture
def wheels(tmp_path):
    """A folder with one wheel, and the hashed lock of it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel = folder / "tinydep-1.0-py3-none-any.whl"
    files = {
        "tinydep.py": b"VALUE = 42\n",
        "tinydep-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n",
        "tinydep-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tinydep-1.0.dist-info/entry_points.txt": b"[console_scripts]\ntinydep = tinydep:main\n",
    }
    record = [
        f"{name},sha256={urlsafe_b64encode(sha256(body).digest()).rstrip(b'=').decode()},{len(body)}"
        for name, body in files.items()
    ]
    files["tinydep-1.0.dist-info/RECORD"] = "\n".join([*record, "tinydep-1.0.dist-info/RECORD,,"]).encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    lock = f"tinydep==1.0 --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n"
    return {"PIP_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1"}, lock


@pytest.fixture
def layers(tmp_path, wheels):
    return Layers(tmp_path / "cache", {"PATH": "/usr/bin:/bin", **wheels[0]})


def test_the_same_files_give_the_same_digest_in_another_cloud(make, context, tmp_path):
    (context / "a.py").write_text("print(1)")
    text = f'{BASE}COPY a.py .\nENV A=1\nLABEL x=y\nENTRYPOINT ["python", "a.py"]\n'
    first = make(text)
    (context / "a.py").touch()

    assert first.digest == make(text, store=ImageStore(tmp_path / "other")).digest
    (context / "a.py").write_text("print(2)")
    assert first.digest != make(text).digest


def test_an_image_is_docker_s_manifest_and_configuration(make, context, store):
    (context / "a.py").write_text("print(1)")
    image = make(
        f'{BASE}COPY a.py .\nENV A=1\nENTRYPOINT ["python", "a.py"]\nCMD ["train"]\n', labels={"b": "2"}
    )

    manifest = json.loads(store.blob(image.digest).read_bytes())
    config = json.loads(store.blob(manifest["config"]["digest"]).read_bytes())

    assert (2, MANIFEST, [FILES]) == (
        manifest["schemaVersion"],
        manifest["mediaType"],
        [each["mediaType"] for each in manifest["layers"]],
    )
    assert [each["digest"] for each in manifest["layers"]] == config["rootfs"]["diff_ids"]
    assert {
        "Entrypoint": ["python", "a.py"],
        "Cmd": ["train"],
        "WorkingDir": "/opt/program",
        "Labels": {"b": "2"},
    }.items() <= config["config"].items()
    assert "A=1" in config["config"]["Env"]
    for each in (manifest["config"], *manifest["layers"]):
        assert each["digest"] == digest_of(store.blob(each["digest"]).read_bytes())


def test_the_store_is_its_owner_s(make, store):
    image = make(BASE)

    assert 0o700 == store.folder.stat().st_mode & 0o777
    assert 0o600 == store.blob(image.digest).stat().st_mode & 0o777


def test_the_log_says_that_nothing_is_isolated_and_counts_the_steps(make):
    make(BASE)

    assert "nothing isolates them" in " ".join(make.lines)
    assert "Step 2/2 : WORKDIR /opt/program" in make.lines


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        ("COPY a.py b.py", ["opt/program/b.py"]),
        ("COPY a.py .", ["opt/program/a.py"]),
        ("COPY a.py sub/", ["opt/program/sub/a.py"]),
        ("COPY a.py /x/y", ["x/y"]),
        ("COPY pack pack", ["opt/program/pack/d.py", "opt/program/pack/deep/c.py"]),
        ("COPY a.py pack/d.py both/", ["opt/program/both/a.py", "opt/program/both/d.py"]),
        ('COPY ["two words.py", "w.py"]', ["opt/program/w.py"]),
        ("COPY . /all/", ["all/a.py", "all/pack/d.py", "all/pack/deep/c.py", "all/two words.py"]),
    ],
)
def test_files_are_copied_where_docker_copies_them(make, context, store, copy, expected):
    (context / "pack" / "deep").mkdir(parents=True)
    for name in ("a.py", "two words.py", "pack/d.py", "pack/deep/c.py", "ignored.pyc", "pack/ignored.pyc"):
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("# not these\n**/*.pyc\nDockerfile\n.dockerignore\n")

    rootfs = store.unpack(make(f"{BASE}{copy}\n"))

    assert expected == sorted(
        each.relative_to(rootfs).as_posix() for each in rootfs.rglob("*") if each.is_file()
    )


def test_dockerignore_may_take_back_a_part(make, context, store):
    (context / "data" / "deep").mkdir(parents=True)
    for name in ("data/no.txt", "data/deep/keep.txt"):
        (context / name).write_text(name)
    (context / ".dockerignore").write_text("data\n!data/deep/keep.txt\n")

    rootfs = store.unpack(make(f"{BASE}COPY data /data\n"))

    assert ["keep.txt"] == [each.name for each in rootfs.rglob("*") if each.is_file()]


def test_an_executable_stays_one(make, context, store):
    (context / "run").write_text("#!/bin/sh\n")
    (context / "run").chmod(0o755)

    assert 0o755 == (store.unpack(make(f"{BASE}COPY run /run\n")) / "run").stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("COPY ../secret .", "COPY: ../secret is outside of the build context"),
        ("COPY none .", "COPY: none is not in the build context"),
        ("COPY hidden.txt .", "COPY: hidden.txt is not in the build context"),
        ("COPY out .", "COPY: out is a link out of the build context"),
        ("COPY folder .", "COPY: folder/out is a link out of the build context"),
        ("COPY *.py .", "COPY: .*patterns are not supported"),
        ("COPY --chown=1:1 a.py .", "COPY: --chown is not supported"),
        ("COPY --from=0 a.py .", "COPY: --from is not supported"),
        ("COPY a.py", "COPY: takes at least a source and a target"),
        ("COPY a.py b.py here", "COPY: with several sources the target must end with /"),
        ('COPY ["a.py"', "COPY: Expecting"),
        ("ENV A", "ENV: 'A' has no value"),
        ("ENV A-B=1", "ENV: 'A-B' is no name of a variable"),
        ("CMD python", "CMD: the shell form"),
        (
            "RUN pip install --require-hashes -r none.lock",
            "RUN: none.lock is not in the image: COPY it first",
        ),
    ],
)
def test_a_broken_line_is_named(make, context, tmp_path, line, problem):
    (tmp_path / "secret").write_text("secret")
    (context / "hidden.txt").write_text("")
    (context / ".dockerignore").write_text("hidden.txt")
    (context / "a.py").write_text("")
    (context / "b.py").write_text("")
    (context / "out").symlink_to(tmp_path / "secret")
    (context / "folder").mkdir()
    (context / "folder" / "out").symlink_to("../../secret")

    with pytest.raises(DockerfileError, match=f"^Dockerfile:3: {problem}"):
        make(f"{BASE}{line}\n")


@pytest.mark.parametrize(
    "base", ["scratch", "ubuntu:24.04", "pytorch/pytorch:2.0", "python", "python:latest"]
)
def test_a_base_image_without_a_known_python_is_refused(make, base):
    with pytest.raises(DockerfileError, match=r"Dockerfile:1: FROM: '.*' is not a Python base image"):
        make(f"FROM {base}\n")


def test_a_python_that_is_not_here_is_stood_in_for_with_a_warning(make):
    image = make("FROM public.ecr.aws/docker/library/python:3.99-slim\n")

    assert "3.99" == image.python
    assert "WARNING: no Python 3.99 runs here" in " ".join(make.lines)


def test_build_arguments_reach_from_and_labels_and_unknown_ones_are_warned_of(make):
    text = "ARG BASE=nothing\nFROM $BASE\nARG COMMIT=none\nARG BASE\nLABEL commit=$COMMIT base=${BASE}\n"
    image = make(text, arguments={"BASE": "python:3.11", "COMMIT": "abc", "TYPO": "1"})

    assert {"commit": "abc", "base": "python:3.11"} == image.config["config"]["Labels"]
    assert "[Warning] One or more build-args [TYPO] were not consumed" in make.lines


def test_the_last_entrypoint_and_command_count(make):
    image = make(f'{BASE}CMD ["a"]\nENTRYPOINT ["b"]\nENTRYPOINT ["c"]\n')

    assert (["c"], ["a"]) == (image.config["config"]["Entrypoint"], image.config["config"]["Cmd"])


def test_locked_dependencies_are_installed_once_and_found_by_the_container(
    make, context, store, layers, wheels, engine, tmp_path
):
    (context / "a.lock").write_text(wheels[1])
    (context / "main.py").write_text("import tinydep, shutil; print(tinydep.VALUE, shutil.which('tinydep'))")
    text = f"{BASE}COPY a.lock .\nRUN pip install --no-cache-dir --require-hashes -r a.lock\nCOPY main.py .\n"
    text += 'ENTRYPOINT ["python", "main.py"]\n'

    image = make(text, layers=layers)
    assert any("Installing collected packages: tinydep" in line for line in make.lines)
    assert [FILES, DEPENDENCIES, FILES] == [each.media_type for each in image.layers]
    (context / "main.py").write_text((context / "main.py").read_text() + "\nprint('changed')")
    changed = make(text, layers=layers)
    assert not any("Installing" in line for line in make.lines)

    store.registry.put("r", "v1", changed.digest)
    engine._layers = layers
    lines = []
    root = tmp_path / "ml"
    running = engine.start(Container(name="t", image="r:v1", environment={}, root=root, log=lines.append))
    assert 0 == running.wait(30)
    assert ["42", "changed"] == [lines[0].split()[0], lines[1]]
    assert lines[0].endswith("bin/tinydep")


def test_an_emptied_cache_is_filled_again_when_a_container_starts(
    make, context, store, wheels, layers, engine, tmp_path
):
    (context / "a.lock").write_text(wheels[1])
    text = f"{BASE}COPY a.lock .\nRUN pip install --require-hashes -r a.lock\n"
    image = make(
        f'{text}ENTRYPOINT ["python", "-c", "import tinydep; print(tinydep.VALUE)"]\n', layers=layers
    )
    store.registry.put("r", "v1", image.digest)
    engine._layers = Layers(tmp_path / "another", wheels[0])
    lines = []

    running = engine.start(
        Container(name="t", image="r:v1", environment={}, root=tmp_path / "ml", log=lines.append)
    )

    assert 0 == running.wait(30)
    assert "42" == lines[-1]


def test_two_builds_at_once_share_one_install(tmp_path, wheels):
    lines = []
    threads = [
        threading.Thread(
            target=Layers(tmp_path / "cache", wheels[0]).environment,
            args=([wheels[1]], interpreter("3.11"), lines.append),
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == sum("Installing collected packages" in line for line in lines)
    assert 2 == sum("Another build is installing these dependencies" in line for line in lines)


def test_an_install_that_was_cut_off_is_done_again(tmp_path, wheels):
    layers = Layers(tmp_path / "cache", wheels[0])
    cut_off = layers.folder / layers.key([wheels[1]], interpreter("3.11"))
    (cut_off / "lib").mkdir(parents=True)

    assert cut_off == layers.environment([wheels[1]], interpreter("3.11"), print)
    assert (cut_off / "bin" / "tinydep").exists()


def test_a_wrong_hash_fails_the_line_and_leaves_nothing(make, context, layers, tmp_path):
    (context / "a.lock").write_text(f"tinydep==1.0 --hash=sha256:{'0' * 64}\n")
    text = f"{BASE}COPY a.lock .\nRUN pip install --require-hashes -r a.lock\n"

    with pytest.raises(DockerfileError, match="Dockerfile:4: RUN: pip ended with code 1"):
        make(text, layers=layers)
    assert any("THESE PACKAGES DO NOT MATCH THE HASHES" in line for line in make.lines)
    assert [] == [each for each in layers.folder.iterdir() if each.is_dir()]


@pytest.mark.parametrize("line", ["-r other.txt", "-c other.txt", "-e .", "--requirement other.txt"])
def test_a_lock_that_names_other_files_is_refused(make, context, line):
    (context / "a.lock").write_text(f"# lock\n{line}\n")

    with pytest.raises(DockerfileError, match="a lock must be whole in itself"):
        make(f"{BASE}COPY a.lock .\nRUN pip install --require-hashes -r a.lock\n")


def test_credentials_do_not_reach_pip(tmp_path):
    layers = Layers(tmp_path, {"AWS_SECRET_ACCESS_KEY": "x", "PIP_INDEX_URL": "i", "https_proxy": "p"})

    assert {"PIP_INDEX_URL", "https_proxy", "PIP_CACHE_DIR"} == layers._environ.keys()


def test_where_packages_come_from_and_the_python_are_part_of_the_key(tmp_path):
    python = interpreter("3.11")
    other = Interpreter(python.path, "3.12.1", python.implementation, python.platform)
    plain = Layers(tmp_path, {})
    keys = {
        plain.key(["a"], python),
        plain.key(["b"], python),
        plain.key(["a"], other),
        Layers(tmp_path, {"PIP_INDEX_URL": "i"}).key(["a"], python),
    }

    assert 4 == len(keys)
    assert plain.key(["a"], python) == Layers(tmp_path, {"PIP_QUIET": "1"}).key(["a"], python)


def test_concurrent_writers_of_one_image_do_not_meet(make, context, store):
    (context / "a.py").write_text("x" * 100000)
    image = make(f"{BASE}COPY a.py .\n")
    body = store.blob(image.layers[0].digest).read_bytes()
    store.blob(image.layers[0].digest).unlink()
    threads = [threading.Thread(target=store.put, args=(body,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert body == store.blob(image.layers[0].digest).read_bytes()
    roots = []
    unpackers = [threading.Thread(target=lambda: roots.append(store.unpack(image))) for _ in range(8)]
    for thread in unpackers:
        thread.start()
    for thread in unpackers:
        thread.join()
    assert 1 == len(set(roots))
    assert [roots[0]] == list(roots[0].parent.iterdir())
