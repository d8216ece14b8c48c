"""What may change over the course of training: which blocks, what target, which network, what rate.

No torch here: a timeline says what is meant at every moment and what that costs, and `train`
does it.
"""
