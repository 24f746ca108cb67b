"""What the WebUI does to every request."""
