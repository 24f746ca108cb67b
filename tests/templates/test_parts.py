from dataclasses import dataclass

import pytest
from troposphere import Ref

from atelier.pipelines import stages
from atelier.templates import parts


@dataclass(frozen=True)
class Two:
    """Settings of two names."""

    first: str
    second: str


def test_settings_become_variables():
    assert {"FIRST": "1", "SECOND": "2"} == parts.environment(Two, first="1", second="2").Variables


@pytest.mark.parametrize(
    "values", [{"first": "1"}, {"first": "1", "second": "2", "third": "3"}, {"frist": "1"}]
)
def test_a_misspelt_setting_fails_when_templates_are_rendered(values):
    with pytest.raises(TypeError, match=r"Two: expected \['first', 'second'\]"):
        parts.environment(Two, **values)


def test_user_parameters_that_codepipeline_would_cut_are_refused():
    with pytest.raises(ValueError, match="user parameters have"):
        stages.invoke("Train", None, Two(first="x" * 1000, second=""))


def test_a_question_that_codepipeline_would_cut_is_refused():
    with pytest.raises(ValueError, match="the question has"):
        stages.approve("topic", "x" * 1001)


def test_a_parameter_of_the_same_name_needs_no_substitution():
    found = stages.overrides(
        {"Prefix": Ref("Prefix"), "Topic": Ref("Reports"), "CodeKey": "#{Build.CODE_KEY}"}
    )

    assert {
        "Fn::Sub": [
            '{"Prefix": "${Prefix}", "Topic": "${Topic}", "CodeKey": "#{Build.CODE_KEY}"}',
            {"Topic": {"Ref": "Reports"}},
        ]
    } == found.to_dict()
