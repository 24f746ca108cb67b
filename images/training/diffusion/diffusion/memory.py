"""What it looks like when memory runs out; known without torch, which says it in ways of its own."""

#: What torch's allocator for CPUs, and the system through it, say in a plain RuntimeError.
SAYINGS = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "out of memory")


def ran_out(error: BaseException) -> bool:
    """Say whether *error* means that there was no memory left."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | OSError) and any(each in str(error) for each in SAYINGS)
