"""Recommenders of items for visitors on real data, beside published figures and peers: `make quality`.

data       the data sets
names      which models a question is about
ratings, lists, trust, context, groups, new_items, speed
           a question each: what every model comes to, and whether that is what it should be
questions  all of them by name
paired     a model with what it may know beside ratings, and without, on the same folds
peers      other libraries, in an environment of their own
rows       answers as rows of the report and of tables
"""
