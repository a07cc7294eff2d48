"""How good a model is: offline over sessions, and live.

`next_items` ranks every next click of test sessions; `metrics`, `beyond` and `intervals` make figures
of that; `summary` brings them together for a model, and compares two. `prequential` judges live lists
by the clicks that follow, `fading` averages that.
"""
