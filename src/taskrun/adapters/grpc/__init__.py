"""gRPC, on either side of the wire."""

import os

# Its core writes to stderr on its own about things that reach us as errors anyway; it reads this once, when it loads.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
