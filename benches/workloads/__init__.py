"""What is measured: a module a workload, each with ``cases()``."""
