"""Files of an input folder: a file is its content, and its name and times only say whether to look again."""
