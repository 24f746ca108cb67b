"""ECR: repositories and images by digest and tag, for the engine that starts them."""
