"""Fleet images: the build of the image that the fleet's tasks run."""

from __future__ import annotations

from troposphere import Output, Parameter, Ref, Template

from atelier.templates import image_builds, parts

IMAGE_REPOSITORY_URI = Parameter(
    "ImageRepositoryUri", Type="String", Description="Where images are pushed to, as ECR says it."
)
SOURCE = Parameter(
    "FleetSourceKey", Type="String", Description="Key of what the image is built from; names its hash."
)


def template() -> Template:
    """Render the stack that builds the fleet's image."""
    given = (parts.CODE_BUCKET, SOURCE, parts.IMAGE_REPOSITORY, IMAGE_REPOSITORY_URI)
    t = parts.stack(__doc__ or "", parts.PREFIX, *given)
    build = image_builds.Build(
        description="Builds the image of the fleet's tasks",
        buildspec="buildspecs/fleet.yml",
        source=SOURCE,
        repository=parts.IMAGE_REPOSITORY,
        uri=IMAGE_REPOSITORY_URI,
    )
    t.add_output(Output("FleetImageProjectName", Value=Ref(image_builds.add(t, build))))
    return parts.tagged(t, "fleet-images")
