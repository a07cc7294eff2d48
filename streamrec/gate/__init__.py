"""The gate: whether a candidate version may take the live one's place.

    window      clicks that neither of two models was trained on
    measuring   one artifact on a window: ranks, lists, bytes, milliseconds
    rules       two measurements and the limits of the settings: checks, and what they come to
    page        a verdict for people
    deciding    all of it together, with the models topic: judge, send the verdict, release

`streamrec.verdicts` sends verdicts to the models topic and reads them there.
"""

from streamrec.gate.deciding import judge_and_release, judged
from streamrec.gate.page import headline, kept_verdicts
from streamrec.gate.window import newest_window

__all__ = ["headline", "judge_and_release", "judged", "kept_verdicts", "newest_window"]
