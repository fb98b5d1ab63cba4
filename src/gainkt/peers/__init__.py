"""Drivers of other people's models, each a script of its own that the Python of their environment runs.

    <python of the environment> run_<peer>.py <folder>

A driver imports nothing of gainkt. It finds in the folder `train.csv`, `valid.csv` and `test.csv` (student, step,
skill, skills, item, response, scored; whole numbers all, and `skills` joined by ";"; each student's rows in order) and
`settings.json` (settings, seed, num_skills, num_items), and writes `predictions.csv` (student, step, p): a probability
for each row of `test.csv` whose `scored` is 1, from the rows of that student before it. `skill` numbers the sets of
skills that a step practises, for models that know one skill a step. It may also write `epochs.csv`, a row an epoch of
its training: train_seconds (of the training steps), seconds (since training began, at its end) and best (1 for the one
that predicted, else 0), and `notes.txt`, whose lines stand below the table. What it prints is kept with the job; a
message is an error's last line.
"""
