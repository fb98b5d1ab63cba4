"""How each reference model is fitted, by a name that a config can give as `_target_`."""

from gainkt.references.bkt import BKT
from gainkt.references.pfa import PFA
from gainkt.references.rasch import Rasch

bkt = BKT.fit
pfa = PFA.fit
rasch = Rasch.fit
