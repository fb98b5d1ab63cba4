"""A tutor that decides by estimates of mastery, and what its decisions are worth."""
