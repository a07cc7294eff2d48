"""Every model on real data, beside published figures, baselines and peers: `make quality`.

sessions, runs, settings, claims
           GRU4Rec beside the official figures and beside the baselines: trainings, and what is claimed
__main__   these and what is asked of recommenders (benchmarks.recommenders), one report and one exit code
"""
