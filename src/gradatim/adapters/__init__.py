"""A data timeline in front of other people's loops.

`sequence` is what all of them stand on: which blocks a step reads, drawn as far ahead as a loader
likes, and a state that is always that of the last step trained. `tables` makes what a timeline may
know of a data set; `torch`, `transformers` and `indices` are the loops.
"""
