"""Gain head."""
