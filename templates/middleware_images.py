"""Middleware images: the build of the image that endpoints run."""

from __future__ import annotations

from troposphere import Output, Parameter, Ref, Template

from atelier.templates import image_builds, parts
from atelier.templates.middleware_parts import REPOSITORY_URI

REPOSITORY = Parameter(
    "DiffusionRepositoryName", Type="String", Description="The repository of the images of endpoints."
)
SOURCE = Parameter(
    "ImageSourceKey", Type="String", Description="Key of what the image is built from; names its hash."
)


def template() -> Template:
    """Render the stack that builds the middleware's images."""
    t = parts.stack(__doc__ or "", parts.PREFIX, parts.CODE_BUCKET, SOURCE, REPOSITORY, REPOSITORY_URI)
    build = image_builds.Build(
        description="Builds the image of endpoints",
        buildspec="buildspecs/diffusion.yml",
        source=SOURCE,
        repository=REPOSITORY,
        uri=REPOSITORY_URI,
    )
    t.add_output(Output("ImageProjectName", Value=Ref(image_builds.add(t, build))))
    return parts.tagged(t, "middleware-images")
