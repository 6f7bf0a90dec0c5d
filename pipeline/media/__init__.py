"""Pictures and sound: the 25-fps grid, the 16-kHz wave, reading and writing video, and the guard around untrusted files."""
