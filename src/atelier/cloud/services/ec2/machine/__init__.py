"""What is inside a machine: its programs run there, on the standard library alone."""
