"""The block store: text is tokenized, packed by likeness of difficulty, and read by id."""
