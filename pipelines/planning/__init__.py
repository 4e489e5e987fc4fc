"""From a snapshot of the labelled data to the plan of a run: what of it is new, and which objects each job needs."""
