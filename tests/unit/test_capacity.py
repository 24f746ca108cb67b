"""How big instance types are."""

import botocore.session
import pytest

from atelier.cloud.context import Refused, Size
from atelier.cloud.services.sagemaker.capacity import size_of

GIB = 1 << 30


@pytest.mark.parametrize(
    ("name", "vcpus", "memory", "gpus"),
    [
        ("ml.m5.large", 2, 8, 0),
        ("ml.m5.2xlarge", 8, 32, 0),
        ("ml.c5.xlarge", 4, 8, 0),
        ("ml.r7i.4xlarge", 16, 128, 0),
        ("ml.m8i-flex.large", 2, 8, 0),
        ("ml.t3.medium", 2, 4, 0),
        ("ml.g4dn.xlarge", 4, 16, 1),
        ("ml.g5.12xlarge", 48, 192, 4),
        ("ml.g5.48xlarge", 192, 768, 8),
        ("ml.g6e.2xlarge", 8, 64, 1),
        ("ml.p3.8xlarge", 32, 244, 4),
    ],
)
def test_a_type_says_how_big_it_is(name, vcpus, memory, gpus):
    assert Size(vcpus=vcpus, memory=memory * GIB, gpus=gpus) == size_of(name)


@pytest.mark.parametrize("name", ["ml.trn1.2xlarge", "ml.inf2.xlarge", "ml.p6-b200.48xlarge", "m5.large"])
def test_a_type_that_is_found_in_aws_only_is_refused(name):
    with pytest.raises(Refused, match=f"instance type {name} is not part of the local cloud"):
        size_of(name)


@pytest.mark.parametrize("shape", ["TrainingInstanceType", "ProductionVariantInstanceType"])
def test_every_type_of_general_use_is_known(shape):
    model = botocore.session.get_session().get_service_model("sagemaker")

    for name in model.shape_for(shape).enum:
        if name.startswith(("ml.c", "ml.m", "ml.r", "ml.t2", "ml.t3", "ml.g4", "ml.g5", "ml.g6")):
            assert size_of(name).vcpus > 0
