"""Generation: the inputs (a person, a voice), placement in the model's frame, sampling, and the output files."""
