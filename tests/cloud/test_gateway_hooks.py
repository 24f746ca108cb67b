"""The hooks fail at start, by name, when ministack is not the one we know; nothing else touches its names."""

import ast
import re
from pathlib import Path

import pytest

import atelier.cloud.gateway as gateway
from atelier.cloud.gateway.hooks.private import Mismatch, replace, use
from atelier.cloud.gateway.hooks.templates.vouched import refusals

PACKAGE = Path(gateway.__file__).parent.parent


def test_a_missing_name_is_told():
    with pytest.raises(Mismatch, match=r"ministack\.core\.arn\.parse_everything is missing.*1\.5\.33"):
        use("core.arn", "parse_everything")


def test_a_missing_module_is_told():
    with pytest.raises(Mismatch, match=r"ministack\.core\.nothing\.x is missing"):
        use("core.nothing", "x")


def test_other_parameters_are_told():
    with pytest.raises(
        Mismatch, match=re.escape("ministack.core.arn.parse_arn(value) should be (arn, region)")
    ):
        use("core.arn", "parse_arn", "arn", "region")


def test_a_replacement_gets_the_original(monkeypatch):
    import ministack.core.arn as module

    monkeypatch.setattr(module, "parse_arn", module.parse_arn)  # put back afterwards

    replace("core.arn", "parse_arn", "value", by=lambda original: lambda value: original(value).service)

    assert "sqs" == module.parse_arn("arn:aws:sqs:us-east-1:000000000000:q")


def test_only_the_hooks_import_ministack():
    guilty = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "hooks" not in path.parts and "ministack" in imported(path)
    ]

    assert [] == guilty


def imported(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    names = {
        *(alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names),
    }
    nodes = ast.walk(ast.parse(path.read_text()))
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    ("template", "refused"),
    [
        ({}, []),
        ({"Resources": None}, []),
        ({"Resources": {"A": "text"}}, [""]),
        ({"Resources": {"A": {"Type": "Custom::Anything", "Properties": {"X": 1}}}}, []),
        ({"Resources": {"A": {"Type": "AWS::S3::Bucket"}}}, []),
        ({"Resources": {"A": {"Type": "AWS::S3::Bucket", "Properties": {"A": 1}}}}, ["AWS::S3::Bucket.A"]),
        ({"Resources": {"A": {"Type": "Ours::A::B", "Properties": {"C": 1, "D": 1}}}}, ["Ours::A::B.D"]),
        ({"Resources": {"A": {"Type": "AWS::X::Y", "Properties": {"C": 1}}}}, ["AWS::X::Y"]),
    ],
)
def test_a_template_is_refused_by_what_is_not_vouched_for(template, refused):
    assert refused == refusals(template, {"Ours::A::B": frozenset({"C"})})
