"""What a merge refuses, with a text for the person who asked."""


class MergeError(Exception):
    """A merge that cannot be made; the text says what is wrong, where, and what to do."""
