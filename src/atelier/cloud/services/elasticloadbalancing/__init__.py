"""Elastic Load Balancing: application load balancers, at addresses of the loopback interface."""
