"""Reasons for which units are dropped or fail: one list, each with a class and a sentence for people."""

from enum import Enum, StrEnum

from pipeline.base.errors import UserError


class ReasonClass(StrEnum):
    """What a reason means for the person who runs the pipeline."""

    DEAD = "dead"  # gone for ever
    LATER = "later"  # throttled, network, disk: try again
    BLOCKED = "blocked"  # bot wall: the stage stops and says what to do
    BAD = "bad"  # corrupt or hostile input
    UNWANTED = "unwanted"  # a filter said no
    BUG = "bug"  # ours


class Reason(Enum):
    """A reason's value is (code, class, sentence); tables store the code. A verdict's reasons stand in the order of this list."""

    # sources
    GONE = ("gone", ReasonClass.DEAD, "the source no longer exists")
    PRIVATE = ("private", ReasonClass.DEAD, "the video is private")
    REMOVED = ("removed", ReasonClass.DEAD, "the video was removed by its owner or the site")
    TERMINATED = ("terminated", ReasonClass.DEAD, "the account behind the video is closed")
    COPYRIGHT = ("copyright", ReasonClass.DEAD, "the video is blocked for copyright")
    GEO_BLOCKED = ("geo_blocked", ReasonClass.DEAD, "the video is not shown in this country")
    AGE_RESTRICTED = (
        "age_restricted",
        ReasonClass.DEAD,
        "the video asks for proof of age: cookies of an account show it",
    )
    MEMBERS_ONLY = ("members_only", ReasonClass.DEAD, "the video is for members or buyers only")
    LOGIN_NEEDED = ("login_needed", ReasonClass.DEAD, "the source asks for a login: cookies of an account may show it")
    DRM_PROTECTED = ("drm_protected", ReasonClass.DEAD, "the video is encrypted")
    NOT_FINISHED = ("not_finished", ReasonClass.LATER, "a live stream or premiere that has not ended")
    EXTRACTOR_BROKEN = ("extractor_broken", ReasonClass.LATER, "yt-dlp could not read the site: update it")
    NETWORK = ("network", ReasonClass.LATER, "the network or the server failed; another run may succeed")
    THROTTLED = ("throttled", ReasonClass.LATER, "the server asked to slow down")
    BOT_WALL = ("bot_wall", ReasonClass.BLOCKED, "the server asks for proof of not being a robot")
    NO_ANSWER = (
        "no_answer",
        ReasonClass.LATER,
        "the language model gave no usable answer; the message says what to do",
    )
    DISK_FULL = ("disk_full", ReasonClass.LATER, "no space was left on the disk")
    NOT_WRITABLE = ("not_writable", ReasonClass.LATER, "a file or folder of the run could not be written")
    BAD_LINK = ("bad_link", ReasonClass.BAD, "the link or id is malformed or not allowed")
    SOURCE_MISSING = ("source_missing", ReasonClass.LATER, "the source file is not where it was")
    SOURCE_CHANGED = (
        "source_changed",
        ReasonClass.LATER,
        "the file is not the one that was crawled: `csg405 run crawl` takes up what is there now",
    )
    SOURCE_DISCARDED = (
        "source_discarded",
        ReasonClass.LATER,
        "the source file was freed to save space: `csg405 retry --refetch` fetches it again",
    )
    DISK_LIMIT = ("disk_limit", ReasonClass.LATER, "the free space or the bytes that the profile allows are used up")
    BAD_ROW = ("bad_row", ReasonClass.BAD, "the row of the manifest is malformed")
    OUT_OF_VIDEO = ("out_of_video", ReasonClass.BAD, "the clip does not lie within the video")
    BAD_POSES = ("bad_poses", ReasonClass.BAD, "the released poses do not fit the clip")
    DUPLICATE = ("duplicate", ReasonClass.UNWANTED, "the same video is already in the run")
    OPTED_OUT = ("opted_out", ReasonClass.UNWANTED, "its owner asked not to be included")
    NOTHING_FOUND = ("nothing_found", ReasonClass.UNWANTED, "the search found no video that is wanted")
    TOO_BRIEF = ("too_brief", ReasonClass.UNWANTED, "the video is shorter than wanted")
    WRONG_LANGUAGE = ("wrong_language", ReasonClass.UNWANTED, "the video is in a language that was not asked for")
    WRONG_LICENCE = ("wrong_licence", ReasonClass.UNWANTED, "the video's licence is not among those asked for")
    LOW_RESOLUTION = ("low_resolution", ReasonClass.UNWANTED, "no format of the video is large enough")
    # media
    NOT_MEDIA = ("not_media", ReasonClass.BAD, "the file is not a video")
    CORRUPT = ("corrupt", ReasonClass.BAD, "the video cannot be decoded")
    EMPTY_FILE = ("empty_file", ReasonClass.BAD, "the file has no bytes")
    NO_VIDEO = ("no_video", ReasonClass.BAD, "the file has no video stream")
    UNKNOWN_CODEC = ("unknown_codec", ReasonClass.BAD, "no decoder for its video codec")
    TOO_LARGE = ("too_large", ReasonClass.BAD, "its pictures have more pixels than the limit")
    TOO_LONG = ("too_long", ReasonClass.BAD, "it lasts longer than the limit")
    TOO_MANY_STREAMS = ("too_many_streams", ReasonClass.BAD, "it holds more streams than the limit")
    # clips and persons
    TOO_SHORT = ("too_short", ReasonClass.UNWANTED, "no shot is long enough for a clip")
    NO_PERSON = ("no_person", ReasonClass.UNWANTED, "no person was found")
    TRACK_TOO_SHORT = ("track_too_short", ReasonClass.UNWANTED, "the person is seen in too few frames of the clip")
    UPPER_BODY_INCOMPLETE = ("upper_body_incomplete", ReasonClass.UNWANTED, "joints of the upper body are not seen")
    HANDS_NOT_SEEN = ("hands_not_seen", ReasonClass.UNWANTED, "the hands are not seen in enough frames")
    FACE_NOT_SEEN = ("face_not_seen", ReasonClass.UNWANTED, "the face is not seen in enough frames")
    SIDE_VIEW = ("side_view", ReasonClass.UNWANTED, "the person is seen from the side")
    BACK_VIEW = ("back_view", ReasonClass.UNWANTED, "the person is seen from the back")
    FIGURE_TOO_SMALL = ("figure_too_small", ReasonClass.UNWANTED, "the person is too small in the picture")
    STATIC_POSE = ("static_pose", ReasonClass.UNWANTED, "arms and hands hardly move")
    STILL = ("still", ReasonClass.UNWANTED, "it is a still: nothing moves but what moves the picture as a whole")
    CAMERA_MOVES = ("camera_moves", ReasonClass.UNWANTED, "the camera moves within the clip")
    ANOTHER_PERSON = ("another_person", ReasonClass.UNWANTED, "another person stands inside the crop")
    NOT_ONE_FACE = ("not_one_face", ReasonClass.UNWANTED, "the face is not the same throughout the clip")
    BLURRED_FACE = ("blurred_face", ReasonClass.UNWANTED, "the face is not sharp")
    JITTERY = ("jittery", ReasonClass.UNWANTED, "the keypoints tremble")
    REPEATED_FRAMES = ("repeated_frames", ReasonClass.UNWANTED, "too many pictures repeat the one before")
    BORDER_IN_CROP = (
        "border_in_crop",
        ReasonClass.UNWANTED,
        "the border of a picture within the picture crosses the crop",
    )
    CROP_TOO_SMALL = ("crop_too_small", ReasonClass.UNWANTED, "the crop would have to be enlarged too much")
    # sound
    NO_AUDIO = ("no_audio", ReasonClass.UNWANTED, "there is no sound track")
    SILENT = ("silent", ReasonClass.UNWANTED, "the sound is silence")
    NO_SPEECH = ("no_speech", ReasonClass.UNWANTED, "too little of the sound is speech")
    CLIPPED_SOUND = ("clipped_sound", ReasonClass.UNWANTED, "the sound is clipped")
    OVERLAPPED_SPEECH = ("overlapped_speech", ReasonClass.UNWANTED, "several people speak at once")
    LIPS_DO_NOT_MATCH = ("lips_do_not_match", ReasonClass.UNWANTED, "the lips do not say what is heard")
    LATE_SOUND = ("late_sound", ReasonClass.UNWANTED, "the sound comes too early or too late for the lips")
    NEAR_DUPLICATE = ("near_duplicate", ReasonClass.UNWANTED, "another video of the run holds a better copy of it")
    NOT_MEASURED = ("not_measured", ReasonClass.UNWANTED, "a measure that the profile requires is not there")
    # people
    OVERRIDDEN = ("overridden", ReasonClass.UNWANTED, "a human override dropped it")
    NOT_THE_CLIPS_PERSON = ("not_the_clips_person", ReasonClass.UNWANTED, "the manifest means someone else in the clip")
    # pose-to-video back-ends
    BACKEND_UNUSABLE = ("backend_unusable", ReasonClass.BLOCKED, "the back-end cannot run on this machine")
    BACKEND_FAILED = ("backend_failed", ReasonClass.BUG, "the back-end failed on this clip")
    NOT_GENERATED = ("not_generated", ReasonClass.UNWANTED, "nothing can be generated from this pair")
    NOT_THERE = ("not_there", ReasonClass.LATER, "the other system's video of this pair is not in its folder")

    # the machine
    TIMED_OUT = ("timed_out", ReasonClass.BUG, "the unit ran past its time limit and was stopped")
    OUT_OF_MEMORY = ("out_of_memory", ReasonClass.BUG, "the unit needed more memory than its limit")
    CRASHED = ("crashed", ReasonClass.BUG, "the worker process died")
    EXCEPTION = ("exception", ReasonClass.BUG, "the stage raised an error")

    def __init__(self, code: str, kind: ReasonClass, sentence: str) -> None:
        self.code = code
        self.kind = kind
        self.sentence = sentence

    @classmethod
    def of(cls, code: str) -> "Reason":
        """The reason with this code; KeyError when there is none."""
        return _BY_CODE[code]


_BY_CODE = {reason.code: reason for reason in Reason}


class Reject(UserError):
    """Raised for a unit that is unwanted or unusable: a result that is stored and not retried.

    Args:
        reason: the main reason.
        detail: what was found, with numbers and units, in one line.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)  # both in args, so that the exception survives pickling
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.code}: {self.detail or self.reason.sentence}"


class Failure(UserError):
    """Raised for a unit that could not be processed this time; the next run retries it.

    Args:
        reason: usually of class `later` or `blocked`.
        detail: what happened and what to do, in one line.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason.code}: {self.detail or self.reason.sentence}"
