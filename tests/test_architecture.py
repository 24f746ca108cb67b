"""Who may import whom: the rule of the design, kept by reading every module's imports."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "atelier"

# What each layer may import of our own packages, beside itself.
ALLOWED = {
    "contract": set(),
    "cloud": set(),
    "client": {"contract"},
    "merging": set(),
    "lambdas": {"contract"},
    "templates": {"contract"},
    "pipelines": {"contract", "templates"},
}

# Where the AWS SDK may be imported; elsewhere a client comes in by argument.
SDK = ("lambdas/adapters", "lambdas/bootstrap", "client", "deploy.py", "cli", "cloud")

# Third-party packages by the parts that may use them; the parts of `lambdas` are stricter than the whole.
FORBIDDEN = {
    "contract": {"boto3", "botocore", "aws_lambda_powertools", "troposphere", "click", "rich", "pydantic"},
    "lambdas/services": {"boto3", "botocore", "aws_lambda_powertools", "os"},
    "lambdas/domain": {"boto3", "botocore", "aws_lambda_powertools", "os"},
    "lambdas/ports": {"boto3", "botocore", "aws_lambda_powertools", "os"},
    "lambdas/errors.py": {"boto3", "botocore", "aws_lambda_powertools", "os"},
    "lambdas/adapters": {"aws_lambda_powertools"},
    "lambdas/handlers": {"boto3", "botocore"},
    "templates": {"boto3", "botocore"},
    "pipelines": {"boto3", "botocore"},
}

# Within lambdas: which of its parts a part may import.
PARTS = {
    "domain": {"errors"},
    "errors": set(),
    "ports": {"domain", "errors"},
    "services": {"domain", "ports", "errors"},
    "adapters": {"domain", "errors", "ports"},
    "handlers": {"services", "bootstrap", "errors", "domain", "ports"},
    "bootstrap": {"adapters", "ports"},
}


def modules(part: str) -> list[Path]:
    """The Python files of a layer, or the one file that *part* names."""
    path = SOURCE / part
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a module imports, those inside functions included; `from a import b` gives `a.b`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_by(part: str) -> set[str]:
    return {name for module in modules(part) for name in imports(module)}


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_imports_only_what_it_may(layer):
    used = {name.split(".")[1] for name in imported_by(layer) if name.startswith("atelier.")}

    assert set() == used - ALLOWED[layer] - {layer}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_functions_imports_only_what_it_may(part):
    path = f"{part}.py" if (SOURCE / "lambdas" / f"{part}.py").exists() else part
    names = imported_by(f"lambdas/{path}")
    used = {name.split(".")[2] for name in names if name.startswith("atelier.lambdas.")}

    assert set() == used - PARTS[part] - {part}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_a_part_keeps_away_from_packages_that_are_not_its_own(part):
    used = {name.split(".")[0] for name in imported_by(part)}

    assert set() == used & FORBIDDEN[part]


def test_the_aws_sdk_is_imported_in_few_places_only():
    importing = {
        module.relative_to(SOURCE).as_posix()
        for layer in [*ALLOWED, "cli"]
        for module in modules(layer)
        if {name.split(".")[0] for name in imports(module)} & {"boto3"}
    }
    importing |= {
        module.name
        for module in SOURCE.glob("*.py")
        if {name.split(".")[0] for name in imports(module)} & {"boto3"}
    }

    assert set() == {name for name in importing if not name.startswith(SDK)}


def test_only_the_hooks_touch_ministack():
    gate = {"ministack", "atelier.cloud.gateway.hooks.private"}
    touching = {
        module.relative_to(SOURCE / "cloud").as_posix()
        for module in modules("cloud")
        if any(name.startswith(tuple(f"{each}." for each in gate)) for name in imports(module))
    }

    assert touching
    assert set() == {name for name in touching if not name.startswith("gateway/hooks/")}


def test_images_import_nothing_of_ours():
    used = {name for module in sorted((ROOT / "images").rglob("*.py")) for name in imports(module)}

    assert set() == {name for name in used if name.split(".")[0] == "atelier"}


def test_merges_need_nothing_but_python_and_numpy():
    # its own modules it imports relatively: `from . import plan` gives `None.plan` here
    own = {"None", *(each.stem for each in modules("merging"))}
    used = {name.split(".")[0] for name in imported_by("merging")}

    assert set() == used - own - set(sys.stdlib_module_names) - {"numpy"}


VENDORED = ROOT / "extension" / "atelier_webui" / "contract"

# What every WebUI has beside Python itself; gradio, fastapi and its own modules are for the outer layers.
WITH_THE_WEBUI = {"requests", "PIL", "atelier_webui"}
OUTER = {"gradio", "fastapi", "starlette", "modules"}
CORE = (
    *("abilities", "accounts", "addresses", "calls", "client", "datasets", "errands", "errors", "forms"),
    *("generation", "history", "infotexts", "jobs", "merges", "networks", "parameters", "people", "pictures"),
    *("private", "recipes", "results", "scripts", "trainings", "transport", "uploads", "versions"),
)


def test_the_extension_speaks_the_contract_word_for_word():
    source = SOURCE / "contract"
    names = ["__init__.py", "operations.py", "refusals.py", "schema.py", "values.py"]
    names += sorted(f"api/{each.name}" for each in (source / "api").glob("*.py"))

    assert sorted(names) == sorted(each.relative_to(VENDORED).as_posix() for each in VENDORED.rglob("*.py"))
    assert [] == [each for each in names if (source / each).read_bytes() != (VENDORED / each).read_bytes()], (
        "run `make vendor`"
    )


def test_the_extension_brings_nothing_that_a_webui_has_not():
    written = [each for each in (ROOT / "extension").rglob("*.py") if VENDORED not in each.parents]
    used = {name.split(".")[0] for module in written for name in imports(module)}

    assert set() == used - set(sys.stdlib_module_names) - WITH_THE_WEBUI - OUTER


@pytest.mark.parametrize("module", CORE)
def test_the_core_of_the_extension_knows_no_webui(module):
    used = imports(VENDORED.parent / f"{module}.py")

    assert set() == {name.split(".")[0] for name in used} & OUTER
    assert set() == {name.split(".")[1] for name in used if name.startswith("atelier_webui.")} - {
        *CORE,
        "contract",
    }


def test_nothing_but_links_stands_for_the_folders_of_other_parts():
    links = {path.name: path.readlink().as_posix() for path in SOURCE.iterdir() if path.is_symlink()}

    top = {each: f"../../{each}" for each in ("lambdas", "pipelines", "templates")}

    assert {**top, "merging": "../../images/training/diffusion/merging"} == links
