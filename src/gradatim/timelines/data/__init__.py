"""Data timelines: which blocks may be drawn now, and in which order.

`door` is what a trainer sees; `timeline` turns a specification into a curriculum; `check` proves
afterwards that the realised order was the planned one.
"""
