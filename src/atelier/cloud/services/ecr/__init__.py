"""ECR: repositories and images by digest and tag, kept in files or, for Docker, in a real registry."""
