"""Where containers run: as plain processes, or in a Docker engine."""
