"""The gate: may this model flag screenshots? Everything is counted per screenshot, and what is not known fails.

1. The threshold comes from the calibration split's negatives alone, by an order statistic with a guarantee
   (`threshold`).
2. The disjoint test split then has to prove it: the upper confidence bound of the FPR within its limit, the lower
   bound of the TPR above its floor (`rates`), overall and in every slice with enough data (`slices`).
3. Screenshots of one group are not independent: all are counted in effective groups (`clustered_errors`).
4. The candidate is not worse than the champion on the same screenshots (`champion`).
5. Looks at the test split are counted, and worn-out evidence is warned of (`steps.core.gate.test_set_ledger`).
"""
