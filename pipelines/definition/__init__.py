"""The pipeline: the DAG and its jobs, compiled to the JSON that both executors run, and checked offline."""
