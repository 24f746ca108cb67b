"""What starts the community WebUI in its image: for people, and for SageMaker."""
