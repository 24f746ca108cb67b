"""What the functions around the WebUI's pipeline do."""
