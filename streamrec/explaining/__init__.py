"""One answer once more: from the id of a list to the rows it was made from, and the same list out of them.

finding    which interaction a list answers, by its id alone
past       the partition's records up to it: of the topic, and of history where the topic has lost them
emitted    the list as it was sent, and which releases the visitor's lists name
rebuilding the partition's state up to the interaction, then the list with what each source says of it
answer     all of it together, and whether it is what was sent
"""

from streamrec.explaining.answer import ExplainedItem, Explanation, Question, explain

__all__ = ["ExplainedItem", "Explanation", "Question", "explain"]
