"""The one place that touches ministack's private names; each is checked to be there at start."""
