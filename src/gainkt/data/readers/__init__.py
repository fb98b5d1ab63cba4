"""Readers: each turns one source format into an InteractionLog, or says in one line why it cannot."""

from gainkt.data.readers.akt import read_akt
from gainkt.data.readers.csv import read_csv
from gainkt.data.readers.pykt import read_pykt
from gainkt.data.readers.saved import read_log

__all__ = ["read_akt", "read_csv", "read_log", "read_pykt"]
