"""Classification of archives: many files, several processes or machines, and one table of results."""
