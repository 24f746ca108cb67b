"""What services need of the world, one module per family."""
