"""What the product does: no event, no HTTP, no boto3, no environment."""
