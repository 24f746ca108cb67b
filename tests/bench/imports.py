"""How long each function takes to import what is ours, beyond boto3 and Powertools: CPU milliseconds.

    python tests/bench/imports.py [--runs 5]

What is imported is the functions' zip as it is deployed. The best run counts, so that other work on the
machine does not show. It fails when a function takes more than 40 ms.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from atelier import bundle

MOST = 40.0
OTHERS = {"__init__", "bodies", "callers", "clock", "http", "links", "settling", "words", "worlds"}
"""Modules among the handlers that are no function's entry point."""

PROGRAM = """
import importlib, json, os, sys, time
runs, root, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
start = time.process_time()
import boto3, botocore.config, botocore.exceptions, boto3.dynamodb.types
import aws_lambda_powertools, aws_lambda_powertools.event_handler
theirs = 1000 * (time.process_time() - start)
strings = []

def hear(event, given):
    if event == "compile" and given[1] == "<string>":
        strings.append(1)

def look(name):
    before = set(sys.modules)
    sys.addaudithook(hear)
    start = time.process_time()
    importlib.import_module(name)
    ours = 1000 * (time.process_time() - start)
    modules = {each: str(getattr(sys.modules[each], "__file__", "")) for each in set(sys.modules) - before}
    return {"ours": ours, "theirs": theirs, "compiled": len(strings), "modules": modules}

sys.path.insert(0, root)
for name in names:
    for _ in range(runs):
        sys.stdout.flush()
        if not (child := os.fork()):
            print(json.dumps([name, look("atelier.lambdas.handlers." + name)]), flush=True)
            os._exit(0)
        assert not os.waitpid(child, 0)[1], name
"""


def functions() -> list[str]:
    """Return the modules of functions' entry points."""
    found = (Path(bundle.HERE) / "lambdas" / "handlers").glob("*.py")
    return sorted(each.stem for each in found if each.stem not in OTHERS)


def measured(runs: int) -> dict[str, dict[str, Any]]:
    """Import every function in processes of its own; return what the best run took and brought."""
    with tempfile.TemporaryDirectory(prefix="atelier-imports-") as folder:
        zipfile.ZipFile(io.BytesIO(bundle.functions()[1])).extractall(folder)
        command = [sys.executable, "-I", "-c", PROGRAM, str(runs), folder, *functions()]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    best: dict[str, dict[str, Any]] = {}
    for name, found in map(json.loads, told.splitlines()):
        if name not in best or found["ours"] < best[name]["ours"]:
            best[name] = found
    return best


def main() -> None:
    """Print one JSON object: milliseconds by function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    best = measured(parser.parse_args().runs)
    told = {name: round(each["ours"], 1) for name, each in best.items()}
    theirs = round(min(each["theirs"] for each in best.values()))
    json.dump({"import_milliseconds": told, "boto3_and_powertools": theirs}, sys.stdout)
    sys.stdout.write("\n")
    if slow := [name for name, milliseconds in told.items() if milliseconds > MOST]:
        sys.exit(f"more than {MOST:.0f} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()
