"""The parts of GRU4Rec: network, losses, mini-batches, training and export. Sources as in gru4rec.py."""
