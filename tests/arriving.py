"""Bodies on their way into the S3 of a local cloud."""

from stacks import eventually


def on_the_way(cloud):
    """The files of bodies that are in no object yet."""
    return set((cloud.home / "state" / "uploads").iterdir())


def nothing_is_left(cloud, before):
    """Say whether what came since *before* goes: the answer may be there a moment earlier."""
    return eventually(lambda: on_the_way(cloud) <= before)
