"""Comments in prompts."""

import re


def strip_comments(text: str) -> str:
    """Leave out what stands behind a number sign."""
    return re.sub(r"(^|\n)#[^\n]*(\n|$)|#[^\n]*(\n|$)", "\n", text)
