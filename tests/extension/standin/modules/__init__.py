"""The names that a community WebUI offers its extensions, those that ours uses, on gradio 3 and 4."""
