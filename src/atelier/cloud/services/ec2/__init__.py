"""EC2: instances are containers of the Docker engine that boot like machines."""
