"""Rate timelines: how large a step is now."""

from gradatim.timelines.rate.schedule import Rate, rate_factor

__all__ = ["Rate", "rate_factor"]
