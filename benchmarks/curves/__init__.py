"""How costs grow with what they depend on, as plots: `python -m benchmarks.curves`.

__main__   which curves, and where to
measured   what is measured for each
plot       a curve, and how it is drawn
"""
