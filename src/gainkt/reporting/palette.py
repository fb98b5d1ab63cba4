"""Colours that pages, pictures and the terminal share: those of Okabe and Ito, told apart by colour-blind readers.

The light ones are darkened until they stand out 3:1 from white; all stand out 3:1 from a dark page. Colour is never
all: dashes, markers and words say the same.

Source: Okabe and Ito, Color Universal Design, 2008.
"""

BLUE, ORANGE, GREEN, PURPLE, SKY, RED, GREY = (
    "#0072B2",
    "#C98500",
    "#009E73",
    "#CC79A7",
    "#3B9BD1",
    "#D55E00",
    "#7A8087",
)
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, GREY)
"""Of several things of one kind, in this order."""
INK = "#1B1F24"
"""Of text and of Encoder 1; a dark page has a light one instead."""
ENCODERS = (INK, RED)
"""Of Encoder 1 and Encoder 2."""
PASSED, FAILED, BEYOND = GREEN, RED, ORANGE
"""Of what passes, fails, and is out of reach."""
