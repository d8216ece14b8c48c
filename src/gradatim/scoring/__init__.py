"""A corpus of any size into a folder of scores: pieces, workers, parts, quantiles."""
