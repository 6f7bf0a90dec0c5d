"""What generating shares, whoever asks for it: a person, a voice, the person's place in the model's frame, and what is left."""
