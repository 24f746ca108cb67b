"""The `atelier` command: parses, calls, prints; nothing else."""
