"""The local cloud: ordinary AWS APIs that really execute, on one machine and on loopback only."""
