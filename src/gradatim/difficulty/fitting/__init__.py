"""How what is shipped was learned: syllables, familiar words, ages of words, reading age."""
