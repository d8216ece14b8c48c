"""Documents in: readers, passages, duplicates, the held-out split; and the graded world."""
