"""What the middleware does."""
