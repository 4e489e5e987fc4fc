"""Labelled data: batches added once and never changed, the inbox, reviews, the quarantine, and garbage."""
