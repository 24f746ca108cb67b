"""The GPT-Neo image: its pure modules by import, all of it as a container."""

from __future__ import annotations

import sys
from pathlib import Path

IMAGE = Path(__file__).parents[2] / "images" / "training" / "gpt_neo"
sys.path.insert(0, str(IMAGE))
