"""Entry point of the `atelier` command and of ``python -m atelier``."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from atelier.cli.main import cli

    cli(prog_name="atelier")


if __name__ == "__main__":
    main()
