"""Pretrain language models under a curriculum, at equal compute, and say what it bought."""

__version__ = "0.1.0"
