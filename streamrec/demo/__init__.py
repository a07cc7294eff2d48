"""The demo: bundled real clicks, replayed live through the real thing, and judged.

run    from nothing to summary.json
judge  clicks and lists in, figures out; pure
view   what the terminal shows meanwhile
"""
