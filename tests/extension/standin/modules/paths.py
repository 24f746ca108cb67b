"""Where things are."""

from __future__ import annotations

import argparse
from pathlib import Path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--data-dir", default=str(Path(__file__).parents[1]))
    parser.add_argument("--api", action="store_true")
    parser.add_argument("--nowebui", action="store_true")
    parser.add_argument("--server-name", default="127.0.0.1")
    parser.add_argument("--gradio-auth-path", type=Path)
    parser.add_argument("--ckpt-dir", type=Path)
    for ignored in ("--skip-prepare-environment", "--no-download-sd-model"):
        parser.add_argument(ignored, action="store_true")
    return parser.parse_args()


arguments = _arguments()
script_path = str(Path(__file__).parents[1])
data_path = arguments.data_dir
models_path = str(Path(data_path) / "models")
extensions_dir = str(Path(data_path) / "extensions")
extensions_builtin_dir = str(Path(script_path) / "extensions-builtin")
