"""Text into columns of difficulty: one counting kernel, formulas of its counts, bands."""
