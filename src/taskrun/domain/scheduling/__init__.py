"""The parts of the scheduler: who has slots, who waits in which line, whose turn it is, and which limit holds whom."""
