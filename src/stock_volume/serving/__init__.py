"""The service: HTTP in and out, nothing else."""
