"""Recommenders of items for visitors on real data, beside published figures: `make quality`.

data       the data sets
judged     what each model comes to
claims     whether that is what it should be
"""
