"""Where things lie in the middleware's bucket, and what the things of an endpoint are called."""

from __future__ import annotations

CHECKPOINTS = "checkpoints/"
"""A checkpoint's files: `checkpoints/{type}/{id}/...`."""

INFERENCES = "inferences/"
"""A job's parameters, input and results: `inferences/{id}/...`."""

DATASETS = "datasets/"
"""A dataset's pictures and captions: `datasets/{name}/{uid}/...`."""

MANIFESTS = "manifests/"
"""What is known of a dataset's files, some at a time: `manifests/{name}/{uid}/{number}.json`."""

WORK = "work/"
"""What a training, a merge or a crop is asked, and what it tells: `work/{id}/...`."""

ASYNC_OUTPUT = "async/output/"
ASYNC_FAILURES = "async/failures/"
"""Where SageMaker puts the answers of asynchronous endpoints, under names of its own."""

VARIANT = "prod"
"""The one variant of every endpoint."""

SERVICES = ("sd", "comfy")
"""What the names of endpoints begin with: `sd-async-artists`."""
