"""One module for each way in; its `TARGET` is what is fuzzed."""
