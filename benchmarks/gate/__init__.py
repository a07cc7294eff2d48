"""How often the gate is wrong: equally good candidates refused, worse ones let through."""
