"""The bodies of the APIs that are open to the internet, one module per resource."""
