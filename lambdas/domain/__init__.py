"""The values that the functions work with, one module per family."""
