"""Serve Stable Diffusion: a bring-your-own container for SageMaker."""
