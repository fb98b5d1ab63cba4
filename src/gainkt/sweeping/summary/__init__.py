"""Summary of a sweep or a search: the table of its runs, what it says, its report and figures."""
