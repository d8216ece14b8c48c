"""What a network knows: bits per byte by difficulty, task scores beside chance, generated text."""
