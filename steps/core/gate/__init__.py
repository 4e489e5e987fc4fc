"""The gate: may this model flag screenshots? Everything is counted per screenshot, and what is not known fails.

`gate` is the whole of it, in its order: threshold, rates, slices, champion, baseline and ledger make a `verdict`.
"""
