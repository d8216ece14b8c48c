"""A corpus of invented prose for tests of the block store: sentences of several lengths."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

WORDS = re.findall(
    r"\w+",
    """the a one old small river house morning keeper lantern walked carried remembered nevertheless
    establishment bridge over under slowly because whether incomprehensible and but of in to was""",
)


def prose(seed: int, num_bytes: int) -> str:
    """Paragraphs of random sentences; a higher seed modulo 7 makes longer sentences."""
    draw = random.Random(seed)
    longest = 4 + 4 * (seed % 7)
    text = ""
    while len(text) < num_bytes:
        sentences = []
        for _ in range(draw.randint(2, 6)):
            words = draw.choices(WORDS, k=draw.randint(3, longest))
            sentences.append(" ".join(words).capitalize() + ".")
        text += " ".join(sentences) + "\n\n"
    return text


def write_corpus(path: Path, *, num_documents: int = 60, document_bytes: int = 3000) -> Path:
    """JSON lines with id, text, source and level."""
    with path.open("w", encoding="utf-8") as lines:
        for index in range(num_documents):
            row = {
                "id": f"book-{index}",
                "text": prose(index, document_bytes),
                "source": "even" if index % 2 == 0 else "odd",
                "level": "hard" if index % 7 > 3 else "easy",
            }
            lines.write(json.dumps(row) + "\n")
    return path
