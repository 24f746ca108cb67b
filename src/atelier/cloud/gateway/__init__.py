"""Where requests enter: ministack in one process of its own, with our services plugged in."""
