"""What a run is and what it leaves behind: one folder, written once, read back as tables.

A run folder holds `spec.yaml` (what decides its bits, and how it was run), `segments.jsonl` (where
each start of the program ran), `events.jsonl` (what happened, without a clock, so that a killed and
resumed run leaves the same bytes as an undisturbed one), `timings.jsonl` (the clock), `blocks.bin`
and `losses.bin` (every block drawn and its loss, uint32 and float32, a batch a step) and
`checkpoints/`. Everything is appended; a resumed run first cuts the files back to its checkpoint's
offsets.
"""
