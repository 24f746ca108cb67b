"""Merges of checkpoints, streamed from files to a file: Python and numpy alone, in bounded memory."""
