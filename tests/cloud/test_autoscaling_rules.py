"""When an alarm rings, and what capacity a policy asks for: the rules alone."""

import pytest

from atelier.cloud.context import Sample
from atelier.cloud.services.autoscaling import steps, tracking
from atelier.cloud.services.autoscaling.alarms import judge
from atelier.cloud.services.wire import ServiceError

NOW = 1_000_000.0
VALUES = ("total", "minimum", "maximum")


def alarm(**values):
    return {
        "Statistic": "Average", "EvaluationPeriods": 3, "Threshold": 1.0, "StateValue": "OK",
        "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "missing", **values,
    }  # fmt: skip


def told(picture, unit="None"):
    """Samples of 60 s windows, oldest first: a digit is a value, ``-`` nothing."""
    return [
        Sample(
            time=NOW - 60 * index - 30,
            count=1,
            total=int(each),
            minimum=int(each),
            maximum=int(each),
            unit=unit,
        )
        for index, each in enumerate(reversed(picture))
        if each != "-"
    ]


def state(picture, **values):
    return judge(alarm(**values), told(picture), NOW, 60).state


@pytest.mark.parametrize(
    ("picture", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("00011", "OK", "OK", "OK", "OK"),
        ("00111", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0-1-1", "OK", "OK", "ALARM", "OK"),
        ("011-1", "ALARM", "ALARM", "ALARM", "OK"),
        ("----0", "OK", "OK", "OK", "OK"),
        ("----1", "OK", "OK", "ALARM", "OK"),
        ("---11", "OK", "OK", "ALARM", "OK"),
        ("--1--", "ALARM", "OK", "ALARM", "OK"),
        ("-----", "INSUFFICIENT_DATA", "OK", "ALARM", "OK"),
    ],
)
def test_missing_data_is_treated_as_the_alarm_says(picture, missing, ignore, breaching, not_breaching):
    treated = ("missing", "ignore", "breaching", "notBreaching")

    found = [state(picture, TreatMissingData=each) for each in treated]

    assert [missing, ignore, breaching, not_breaching] == found


@pytest.mark.parametrize(("picture", "expected"), [("00101", "ALARM"), ("00001", "OK")])
def test_some_of_the_datapoints_are_enough_when_the_alarm_says_so(picture, expected):
    assert expected == state(picture, DatapointsToAlarm=2)


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        ("GreaterThanOrEqualToThreshold", "ALARM"),
        ("GreaterThanThreshold", "OK"),
        ("LessThanThreshold", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM"),
    ],
)
def test_a_value_at_the_threshold_is_compared_as_the_alarm_says(comparison, expected):
    assert expected == state("111", ComparisonOperator=comparison)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("Average", 4.0), ("Sum", 12.0), ("Minimum", 1.0), ("Maximum", 7.0), ("SampleCount", 3.0)],
)
def test_a_datapoint_is_the_statistic_of_its_window(statistic, expected):
    samples = [
        Sample(time=NOW - 1, count=2, total=8, minimum=1, maximum=7, unit="None"),
        Sample(time=NOW - 2, count=1, total=4, minimum=4, maximum=4, unit="None"),
    ]

    assert [expected] == judge(alarm(Statistic=statistic), samples, NOW, 60).points


def test_values_of_another_unit_do_not_count():
    verdict = judge(alarm(Unit="Seconds"), told("111", unit="Count"), NOW, 60)

    assert "INSUFFICIENT_DATA" == verdict.state


def test_the_reason_names_values_and_threshold():
    verdict = judge(alarm(), told("123"), NOW, 60)

    assert "Threshold Crossed: [3, 2, 1] was greater than or equal to the threshold (1)." == verdict.reason


def stepping(*adjustments, kind="ChangeInCapacity", **more):
    names = ("MetricIntervalLowerBound", "MetricIntervalUpperBound", "ScalingAdjustment")
    given = [
        {key: value for key, value in zip(names, each, strict=True) if value is not None}
        for each in adjustments
    ]
    return {"AdjustmentType": kind, "StepAdjustments": given, **more}


ABOVE = {"Threshold": 10.0, "ComparisonOperator": "GreaterThanThreshold"}
BELOW = {"Threshold": 10.0, "ComparisonOperator": "LessThanThreshold"}


@pytest.mark.parametrize(("value", "expected"), [(10.5, 3), (19.9, 3), (20.0, 5), (99.0, 5), (9.0, 2)])
def test_a_step_is_chosen_by_the_size_of_the_breach(value, expected):
    configuration = stepping((0, 10, 1), (10, None, 3))

    assert expected == steps.wish(configuration, ABOVE, [value], 2)


@pytest.mark.parametrize(("value", "expected"), [(9.0, 4), (0.0, 2), (-1.0, 2)])
def test_a_step_down_is_chosen_by_how_far_it_is_below(value, expected):
    configuration = stepping((-10, 0, -1), (None, -10, -3))

    assert expected == steps.wish(configuration, BELOW, [value], 5)


@pytest.mark.parametrize(
    ("percent", "least", "current", "expected"),
    [
        (50, 0, 5, 7),
        (10, 0, 5, 6),
        (-10, 0, 5, 4),
        (-50, 0, 5, 3),
        (10, 3, 5, 8),
        (100, 0, 0, 0),
        (100, 1, 0, 1),
    ],
)
def test_a_percentage_is_rounded_as_aws_rounds_it(percent, least, current, expected):
    configuration = stepping((0, None, percent), kind="PercentChangeInCapacity", MinAdjustmentMagnitude=least)

    assert expected == steps.wish(configuration, ABOVE, [11.0], current)


def test_an_exact_capacity_is_what_it_says():
    assert 4 == steps.wish(stepping((0, None, 4), kind="ExactCapacity"), ABOVE, [11.0], 9)


@pytest.mark.parametrize(("kind", "expected"), [("Average", 2), ("Minimum", 1), ("Maximum", 3)])
def test_datapoints_are_aggregated_as_the_policy_says(kind, expected):
    configuration = stepping(
        (0, 10, 1), (10, 20, 2), (20, None, 3), kind="ExactCapacity", MetricAggregationType=kind
    )

    assert expected == steps.wish(configuration, ABOVE, [15.0, 25.0, 35.0], 0)


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        (stepping((0, 10, 1), (11, None, 2)), "without gap or overlap"),
        (stepping((0, 10, 1), (9, None, 2)), "without gap or overlap"),
        (stepping((10, 0, 1)), "not below the upper bound"),
        (stepping((0, None, -1), kind="ExactCapacity"), "cannot be negative"),
        (stepping(), "needs an AdjustmentType and StepAdjustments"),
    ],
)
def test_steps_that_make_no_sense_are_refused(configuration, text):
    with pytest.raises(ServiceError, match=text):
        steps.check(configuration)


@pytest.mark.parametrize(
    ("value", "current", "expected"), [(10, 2, 4), (4, 2, 2), (0, 3, 0), (1, 1, 1), (12, 0, 3), (5.5, 4, 5)]
)
def test_tracking_asks_for_what_would_meet_the_target(value, current, expected):
    assert expected == tracking.wish({"TargetValue": 5.0}, value, current)
