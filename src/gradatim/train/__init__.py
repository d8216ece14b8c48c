"""One run's inner loop: draw blocks, take a step, charge the ledger, keep a record, survive."""
