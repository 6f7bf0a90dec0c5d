"""Pictures and sound: the frame grid, the 16-kHz wave, and the guard that nothing from outside gets past."""
