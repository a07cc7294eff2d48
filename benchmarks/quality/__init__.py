"""GRU4Rec beside the official figures and beside the baselines: `make quality`."""
