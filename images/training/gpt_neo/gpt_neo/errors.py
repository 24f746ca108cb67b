"""Failures whose text is for the person who started the job."""


class Failure(Exception):
    """The job cannot go on; the text says what is wrong, where, and what to do."""


class Stopped(Exception):
    """SageMaker asked the job to stop, and a checkpoint is safe."""
