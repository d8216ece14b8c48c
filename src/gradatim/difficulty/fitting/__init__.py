"""How what is shipped was learned: syllable patterns, familiar words, ages of words, reading age."""
