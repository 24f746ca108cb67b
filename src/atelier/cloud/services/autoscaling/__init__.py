"""Application Auto Scaling: endpoints really grow and shrink, by alarms that are really evaluated."""
