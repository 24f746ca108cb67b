"""Elastic Container Service on Fargate: tasks really run, deployments really roll."""
