"""What a run asked for and what it leaves behind: one folder, written once, read back as tables.

A run folder holds `spec.yaml` (the complete specification), `environment.json` (where it ran),
`events.jsonl` (what happened, without a clock, so that a killed and resumed run leaves the same
bytes as an undisturbed one), `timings.jsonl` (the clock), `blocks.bin` and `losses.bin` (every
block drawn and its loss, uint32 and float32, a batch a step) and `checkpoints/`. Everything is
appended; a resumed run first cuts the files back to its checkpoint's offsets.
"""
