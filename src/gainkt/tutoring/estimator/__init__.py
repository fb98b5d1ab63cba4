"""Estimators of mastery, one protocol: fit on earlier students, start, observe answers, estimate."""
