"""Atelier: GitOps for generative AI on AWS, and a workshop that runs the same templates on one machine."""
