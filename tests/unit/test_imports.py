"""What a function imports when it starts, from the zip that is deployed: little, and fast."""

import importlib.util
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench" / "imports.py"
spec = importlib.util.spec_from_file_location("imports", BENCH)
imports = importlib.util.module_from_spec(spec)
spec.loader.exec_module(imports)

# The bodies that an API's functions know: their own family's, and what every answer has.
FAMILIES = {
    "authorizer": {"roles"},
    "meta": {"meta", "roles"},
    "roles": {"meta", "roles"},
    "users": {"meta", "roles", "tokens", "users"},
    "checkpoints": {"checkpoints", "endpoints", "meta", "roles"},  # what a job takes of a checkpoint
    "endpoints": {"endpoints", "meta", "roles"},
    "inferences": {"checkpoints", "endpoints", "inferences", "meta", "roles"},
    # what work makes of checkpoints and datasets
    "trainings": {"checkpoints", "datasets", "endpoints", "meta", "roles", "trainings", "work"},
    "merges": {"checkpoints", "datasets", "endpoints", "merges", "meta", "roles", "work"},
    "datasets": {"checkpoints", "datasets", "endpoints", "meta", "roles", "work"},
}


@pytest.fixture(scope="module")
def functions():
    return imports.measured(runs=3)


@pytest.mark.parametrize("name", imports.functions())
def test_a_function_imports_our_modules_in_a_fraction_of_what_the_libraries_take(functions, name):
    assert functions[name]["ours"] < functions[name]["theirs"] / 3


@pytest.mark.parametrize("name", imports.functions())
def test_a_function_writes_next_to_no_code_at_its_start(functions, name):
    assert functions[name]["compiled"] <= 20


@pytest.mark.parametrize("name", imports.functions())
def test_a_function_imports_no_validator_and_no_document_before_it_needs_one(functions, name):
    assert set() == {"fastjsonschema", "atelier.contract.openapi"} & functions[name]["modules"].keys()


@pytest.mark.parametrize("name", imports.functions())
def test_a_function_imports_our_modules_from_its_zip_alone(functions, name):
    modules = functions[name]["modules"]
    ours = {path for each, path in modules.items() if each.startswith("atelier.")}

    assert f"atelier.lambdas.handlers.{name}" in modules
    assert 1 == len({path.partition("/atelier/")[0] for path in ours})
    assert not [path for path in ours if path.startswith(str(imports.bundle.HERE))]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_function_of_the_api_imports_the_bodies_of_its_family_only(functions, name):
    prefix = "atelier.contract.api."
    known = {each.removeprefix(prefix) for each in functions[name]["modules"] if each.startswith(prefix)}

    assert FAMILIES[name] == known
