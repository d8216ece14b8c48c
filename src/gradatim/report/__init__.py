"""Records, comparison and laws in; one self-contained HTML page and its tables out."""
