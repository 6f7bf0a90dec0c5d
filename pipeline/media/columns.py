"""Names of the columns of `videos` that say how a file is read; stages that read it declare them.

All are null for a file with nothing odd about it, and for rows of before: what was made of these stays as it is.
"""

PICTURE_COLUMNS = ("clock", "tone_mapped", "combed", "sample_aspects")
SOUND_COLUMNS = ("clock", "sound_track")
FILM_COLUMNS = tuple(dict.fromkeys(PICTURE_COLUMNS + SOUND_COLUMNS))
