"""The Docker engine: containers as an engine on this machine runs them."""
