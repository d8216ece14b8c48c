"""What the records say: arms compared at equal compute, and laws over rungs with uncertainty."""
