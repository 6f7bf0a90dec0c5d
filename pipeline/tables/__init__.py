"""Tables and the folders of a run: what is stored, how it is found, and when it may go."""
