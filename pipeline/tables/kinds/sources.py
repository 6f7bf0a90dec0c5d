"""What is asked for and what was fetched: speech types, links, their state on the web, videos."""

import pyarrow as pa

from pipeline.tables.kinds.kind import VIDEO, B, F, I, Kind, S, column

TYPES = Kind(
    "types",
    key="speech_type",
    columns=(
        column("speech_type", S, "", "its name, such as Panel Forum"),
        column("group", S, "", "Speech and Lecture, Interview and Discussion, News, ..."),
        column("register", S, "", "formal or casual"),
        column("share_percent", F, "%", "of the paper's clips (figure 2a); null where the paper has none"),
        column("languages", pa.list_(S), "", "codes such as en, one an entry of `keywords`"),
        column("keywords", pa.list_(pa.list_(S)), "", "search keywords, a list a language"),
        column("origin", S, "", "shipped, a manifest's name, or the model that named it"),
        column("prompt_sha256", S, "hex", "of the prompt that brought it; null when none did"),
        column("date", S, "YYYY-MM-DD", "when it was named; null for the shipped list"),
    ),
)

SOURCES = Kind(
    "sources",
    key="source",
    parent="types",
    columns=(
        column("source", S, "", "canonical link"),
        column("video_id", S, "", "yt:<11 characters>"),
        column("speech_type", S, "", "of the search that found it first"),
        column("language", S, "", "of that search"),
        column("query", S, "", "that search"),
        column("query_rank", I, "", "its place in that search, from 1"),
        column("title", S, "", ""),
        column("channel", S, "", ""),
        column("channel_id", S, "", ""),
        column("channel_handle", S, "", "@name, where the site has such"),
        column("duration_seconds", F, "s", "as announced; null when unknown"),
    ),
)

CHECKS = Kind(
    "checks",
    key="source",
    columns=(
        column("source", S, "", "canonical link"),
        column("video_id", S, "", "null where the link names none"),
        column("state", S, "", "live, dead, blocked or unknown"),
        column("reason", S, "", "code; null when live"),
        column("detail", S, "", "what the site said"),
        column("checked", S, "YYYY-MM-DD", "day of the check, UTC"),
    ),
)

VIDEOS = Kind(
    "videos",
    key="video_id",
    columns=(
        VIDEO,
        column("source", S, "", "the link or file that was asked for"),
        column("url", S, "", "canonical web address; null for local files"),
        column("path", S, "path", "the file: relative to the run folder, or absolute where it was found"),
        column("sha256", S, "hex", "hash of the file"),
        column("bytes", pa.int64(), "B", "size of the file"),
        column("container", S, "", "demuxer that reads it"),
        column("duration_seconds", F, "s", "measured from its packets"),
        column("grid_frames", I, "frames", "pictures on the 25-fps grid"),
        column("width", I, "px", "after rotation and sample aspect"),
        column("height", I, "px", "after rotation and sample aspect"),
        column("source_fps", F, "1/s", "measured picture rate of the source"),
        column("variable_rate", B, "", "pictures are not evenly spaced"),
        column("rotation_degrees", I, "deg", "rotation that a player applies"),
        column("interlaced", B, "", "some pictures are deinterlaced on reading"),
        column("video_codec", S, "", ""),
        column("pixel_format", S, "", ""),
        column("audio_codec", S, "", "null when there is no sound track"),
        column("audio_sample_rate", I, "Hz", ""),
        column("audio_channels", I, "", ""),
        column("truncated", B, "", "ends before its container says"),
        column("title", S, "", ""),
        column("channel", S, "", ""),
        column("channel_id", S, "", ""),
        column("channel_handle", S, "", "@name, where the site has such"),
        column("licence", S, "", "as the source states it; null when unknown"),
        column("upload_date", S, "YYYY-MM-DD", ""),
        column("speech_type", S, "", "null when unknown"),
        column("language", S, "", ""),
        column("query", S, "", "the search that found it"),
        column("query_rank", I, "", "its place in that search"),
        column("format", S, "", "formats fetched and what was offered: ids, size, codecs; null for local files"),
        column("resolution_fallback", S, "", "`up` or `down` where no 1280x720 was offered; null where it was"),
        column("footage", S, "", "`theatre` for the demo's puppets, else null"),
        column("transfer", S, "", "of the first picture, as ffmpeg names it; null where the file does not say"),
        column("matrix", S, "", "likewise"),
        column("bit_depth", I, "bit", "of the source's pictures"),
        column("tone_mapped", B, "", "pictures in PQ or HLG became BT.709 on reading; null where none was seen"),
        column(
            "combed",
            S,
            "",
            "which pictures are deinterlaced whatever their flags say: all, by the order of fields `tff` or `bff`; those that are "
            "combed, `tff partly`; `none`; null: those that are flagged",
        ),
        column("combed_share", F, "", "of the moving pictures looked at; null where nothing moves, or nobody looked"),
        column("sample_aspects", S, "", "shapes of pixels (`1:1 2:1`) where they change midway; else null"),
        column(
            "clock",
            S,
            "JSON",
            "where its times restart, jump or are damaged, and by how much they are moved; else null",
        ),
        column("sound_track", I, "", "index of the stream with the voice, where it is not the default one; else null"),
        column("reader_version", I, "", "of the rules that looked at the file; null in rows of older versions"),
    ),
)
