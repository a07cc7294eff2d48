"""A drift on real clicks: the catalogue's halves are swapped while lists are made, and what becomes of it.

Twice over the same clicks: with the training app, and without. Judged are GRU4Rec's own proposals, which
every list carries (scoring.trace): online CF and popularity learn by themselves, and would recover anyway.
"""
