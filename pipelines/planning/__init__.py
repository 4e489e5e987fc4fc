"""The plan of a run, from a snapshot of the labelled data: what is new, its champion, ledger and warm start."""
