"""What `make bench` runs: TaskRun beside the raw figures of gRPC, on one machine, in one run."""
