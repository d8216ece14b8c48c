"""Rungs x arms x seeds -> runs -> records."""
