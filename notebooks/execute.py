"""Execute notebooks from top to bottom in kernels of this interpreter, as `make notebooks` does.

What they find comes from the environment, and the cell tagged `parameters` can be told something else. The
notebooks stay as they are: copies with all outputs go to another folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

TIMEOUT = 1800
"""Seconds that one cell may take: one of them trains a model."""


class Failed(Exception):
    """A cell that failed; the text says which, and why."""


def main(arguments: Sequence[str]) -> int:
    """Execute the notebooks that are named; stop at the first that fails."""
    asked = _parser().parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    parameters = json.loads(asked.set)
    known = {path: declared(path) for path in asked.notebooks}
    if unknown := parameters.keys() - set().union(*known.values()):
        sys.stderr.write(f"error: no notebook has a parameter {', '.join(sorted(unknown))}\n")
        return 2
    for path in asked.notebooks:
        began = time.monotonic()
        chosen = {name: value for name, value in parameters.items() if name in known[path]}
        try:
            made = execute(path, chosen, asked.out / path.name)
        except Failed as error:
            sys.stderr.write(f"error: {path.name}: {error}\n")
            return 1
        sys.stdout.write(f"{path.name}: {time.monotonic() - began:.1f} s, see {made}\n")
    return 0


def execute(path: Path, parameters: Mapping[str, Any], out: Path) -> Path:
    """Execute one notebook and write it with its outputs to *out*, those before a failure too."""
    document, log = nbformat.read(path, as_version=4), out.with_suffix(".log")
    if parameters:
        chosen = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        document.cells.insert(_tagged(document) + 1, nbformat.v4.new_code_cell(chosen))
    try:
        _run(document, path.name, log)
    except CellExecutionError as error:
        raise Failed(f"{error.ename}: {error.evalue} (in {_source(document)!r}; see {out})") from error
    except (KeyboardInterrupt, AssertionError) as error:  # nbclient stumbles over a kernel that Ctrl-C ended
        raise Failed(f"interrupted; what a cell began goes on, a training job for one (see {out})") from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise Failed(f"{error} (see {out} and {log})") from error
    finally:
        nbformat.write(document, out)
    return out


def _run(document: Any, name: str, log: Path) -> None:
    """Run the cells in a kernel, and say at which it is; what the kernel itself says goes to a log."""
    code = [at for at, each in enumerate(document.cells) if each.cell_type == "code"]

    def tell(cell: Any, cell_index: int) -> None:
        if cell_index in code:
            sys.stdout.write(f"{name}: cell {code.index(cell_index) + 1} of {len(code)}\n")
            sys.stdout.flush()

    with _sockets() as config, log.open("w", encoding="utf-8") as said:
        client = NotebookClient(
            document, timeout=TIMEOUT, kernel_name="python3", on_cell_start=tell, config=config
        )
        client.execute(stderr=said)


@contextmanager
def _sockets() -> Iterator[Config]:
    """Let a kernel be talked to by sockets in a folder that nobody else on this machine may enter."""
    with tempfile.TemporaryDirectory() as folder:
        yield Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})


def declared(path: Path) -> set[str]:
    """Return the names that a notebook's cell of parameters sets."""
    document = nbformat.read(path, as_version=4)
    lines = document.cells[_tagged(document)].source.splitlines()
    return {line.partition(" = ")[0] for line in lines if line[:1].isupper()}


def _tagged(document: Any) -> int:
    """Return where the cell of parameters is."""
    return next(at for at, each in enumerate(document.cells) if "parameters" in each.metadata.get("tags", []))


def _source(document: Any) -> str:
    """Return the first line of the cell that failed."""
    failed = [
        cell
        for cell in document.cells
        if any(each.output_type == "error" for each in cell.get("outputs", []))
    ]
    return str(failed[-1].source.strip().partition("\n")[0]) if failed else "a cell"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Execute notebooks and keep copies with their outputs.")
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/notebooks"), help="where the copies go")
    parser.add_argument("--set", default="{}", help="parameters as a JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
