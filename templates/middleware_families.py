"""The functions behind the middleware's API: one for each family of operations, with a role of its own."""

from __future__ import annotations

from collections.abc import Mapping

from troposphere import Ref, Select, Split, Template, awslambda

from atelier.contract.settings import CheckpointsSettings, EndpointsSettings, InferencesSettings, WorkSettings
from atelier.templates import middleware_endpoints as sagemaker
from atelier.templates import middleware_parts as middle
from atelier.templates import middleware_storage as storage
from atelier.templates import middleware_work as work
from atelier.templates import parts
from atelier.templates.middleware_parts import READ, WRITE, on, telling_who_asks
from atelier.templates.parts import Statement, allow, arn


def add_families(t: Template) -> Mapping[str, awslambda.Function]:
    """Add the functions; return them by the family of operations that they answer."""
    return {
        "meta": meta(t),
        "roles": roles(t),
        "users": users(t),
        "checkpoints": checkpoints(t),
        "endpoints": endpoints(t),
        "inferences": inferences(t),
        "trainings": trainings(t),
        "merges": merges(t),
        "datasets": datasets(t),
    }


def meta(t: Template) -> awslambda.Function:
    """Say that the API is there, and describe it."""
    return middle.function(
        t,
        "Meta",
        module="meta",
        settings=awslambda.Environment(Variables={}),
        may=[],
        why="Answers /, /ping and /api",
    )


def roles(t: Template) -> awslambda.Function:
    """Make, list and delete roles."""
    return middle.function(
        t,
        "Roles",
        module="roles",
        settings=middle.access(),
        may=[*telling_who_asks(), on(middle.ACCOUNTS, *READ, *WRITE)],
        why="Answers /roles",
    )


def users(t: Template) -> awslambda.Function:
    """Make, list and delete users and their tokens."""
    return middle.function(
        t,
        "Users",
        module="users",
        settings=middle.access(),
        may=[*telling_who_asks(), on(middle.ACCOUNTS, *READ, *WRITE)],
        why="Answers /users",
    )


def checkpoints(t: Template) -> awslambda.Function:
    """Take uploads of checkpoints in parts, have others fetched, list, rename and delete them."""
    own = parts.environment(
        CheckpointsSettings,
        checkpoints_table=Ref(middle.CHECKPOINTS),
        bucket=Ref(middle.BUCKET),
        downloads_function=Ref(middle.DOWNLOADS_FUNCTION),
        allow_pickled=Ref(middle.ALLOW_PICKLED),
    )
    return middle.function(
        t,
        "CheckpointsFunction",
        module="checkpoints",
        settings=middle.together(middle.access(), own),
        may=[
            *telling_who_asks(),
            *storage.keeping_checkpoints(),
            on(middle.CHECKPOINTS, "dynamodb:Query", indexes=True),
            allow(
                ["lambda:InvokeFunction"], arn("lambda", f"function:${{{middle.DOWNLOADS_FUNCTION.title}}}")
            ),
        ],
        why="Answers /checkpoints",
    )


def endpoints(t: Template) -> awslambda.Function:
    """Make, list and delete endpoints."""
    own = parts.environment(
        EndpointsSettings,
        endpoints_table=Ref(middle.ENDPOINTS),
        bucket=Ref(middle.BUCKET),
        endpoint_role_arn=Ref(middle.ENDPOINT_ROLE),
        endpoint_image=Ref(middle.ENDPOINT_IMAGE),
        registry=Select(0, Split("/", Ref(middle.REPOSITORY_URI))),  # the host, as ECR says it
        success_topic_arn=Ref(middle.SUCCESS_TOPIC),
        error_topic_arn=Ref(middle.ERROR_TOPIC),
    )
    return middle.function(
        t,
        "EndpointsFunction",
        module="endpoints",
        settings=middle.together(middle.access(), own),
        may=[
            *telling_who_asks(),
            on(middle.ENDPOINTS, *READ, *WRITE, indexes=True),
            *sagemaker.making(),
            *sagemaker.following(),
        ],
        why="Answers /endpoints",
    )


def inferences(t: Template) -> awslambda.Function:
    """Make, start, show, cancel and delete jobs."""
    own = parts.environment(
        InferencesSettings,
        inferences_table=Ref(middle.INFERENCES),
        endpoints_table=Ref(middle.ENDPOINTS),
        checkpoints_table=Ref(middle.CHECKPOINTS),
        bucket=Ref(middle.BUCKET),
    )
    return middle.function(
        t,
        "InferencesFunction",
        module="inferences",
        settings=middle.together(middle.access(), own),
        may=[
            *telling_who_asks(),
            *storage.running_jobs(),
            on(middle.ENDPOINTS, *READ, indexes=True),
            on(middle.CHECKPOINTS, "dynamodb:GetItem", "dynamodb:BatchGetItem"),
            *sagemaker.calling(),
        ],
        why="Answers /inferences",
    )


def trainings(t: Template) -> awslambda.Function:
    """Begin, show, stop and delete trainings."""
    return _working(t, "Trainings", "trainings", storage.looking_at_datasets(), kinds=("lora",))


def merges(t: Template) -> awslambda.Function:
    """Begin, show, stop and delete merges."""
    return _working(t, "Merges", "merges", [], kinds=("merge",))


def datasets(t: Template) -> awslambda.Function:
    """Make, fill, show, crop and delete datasets."""
    own = storage.keeping_datasets()
    return _working(t, "DatasetsFunction", "datasets", own, kinds=("crop",))


def _working(
    t: Template, title: str, module: str, may: list[Statement], *, kinds: tuple[str, ...]
) -> awslambda.Function:
    """Add a function that begins and stops work, and reserves the names of what it makes."""
    return middle.function(
        t,
        title,
        module=module,
        settings=middle.together(middle.access(), work_settings()),
        may=[
            *telling_who_asks(),
            *storage.keeping_work(),
            *may,
            *([] if kinds == ("crop",) else storage.keeping_checkpoints()),
            *work.running(*kinds),
        ],
        why=f"Answers /{module}",
    )


def work_settings() -> awslambda.Environment:
    """Return the variables of what begins and stops work."""
    return parts.environment(
        WorkSettings,
        work_table=Ref(middle.WORK),
        datasets_table=Ref(middle.DATASETS),
        checkpoints_table=Ref(middle.CHECKPOINTS),
        bucket=Ref(middle.BUCKET),
        work_machine_arn=Ref(middle.WORK_MACHINE),
        work_instance_type=Ref(middle.WORK_INSTANCE),
    )
