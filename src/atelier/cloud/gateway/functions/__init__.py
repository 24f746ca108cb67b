"""Where Lambda functions run: processes of a bare interpreter, each with its own code, layers and role."""
