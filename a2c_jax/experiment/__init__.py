"""Everything with side effects: runs on disk, progress, statistics, figures, the command line."""
