"""What nights cost in AWS: jobs of the definition x durations x prices, and what is paid by the month besides.

It is an estimate, not a bill: durations are told, measured or assumed, and prices are those of a table that says of
each where it comes from and whether anybody has checked it.
"""
