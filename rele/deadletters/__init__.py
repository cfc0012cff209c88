"""Dead letters: finding them, looking at them, replaying and discarding them.

:func:`rele.deadletters.box.opened` is where to begin.
"""
