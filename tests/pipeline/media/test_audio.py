"""Sample 0 of the wave is presentation zero, and a click stays where it was put."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.media.audio import cut, from_flac, read_wave, to_flac, write_wav
from pipeline.media.video import ffmpeg_exe, probe
from tests.pipeline.media.footage import constant_times, ffmpeg, speckle, write_footage


def clicks(seconds: float, at: list[float], rate: int) -> np.ndarray:
    """(samples,) float32 silence with single-sample pulses at these seconds."""
    wave = np.zeros(round(seconds * rate), dtype=np.float32)
    for time in at:
        wave[round(time * rate)] = 0.9
    return wave


def peak_near(wave: np.ndarray, seconds: float, reach: float = 0.1) -> float:
    """Samples (at 16 kHz) from the expected place to the largest magnitude near it."""
    centre, width = round(seconds * SAMPLE_RATE), round(reach * SAMPLE_RATE)
    begin = max(centre - width, 0)
    return begin + int(np.argmax(np.abs(wave[begin : centre + width]))) - seconds * SAMPLE_RATE


def shift_between(a: np.ndarray, b: np.ndarray, most: int = 400) -> int:
    """The shift (samples) by which b lags a, by correlation."""
    size = min(len(a), len(b))
    spectrum = np.fft.rfft(a[:size], 2 * size).conj() * np.fft.rfft(b[:size], 2 * size)
    correlation = np.fft.irfft(spectrum)
    shifts = np.arange(-most, most + 1)
    return int(shifts[np.argmax(correlation[shifts])])


def ffmpeg_wave(path: Path) -> np.ndarray:
    """What the ffmpeg binary makes of the default track, laid on the presentation clock."""
    command = [ffmpeg_exe(), "-v", "error", "-i", str(path), "-map", "0:a:0", "-af", "aresample=async=1:first_pts=0"]
    command += ["-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "f32le", "-"]
    command += ["-map", "0:v", "-f", "null", "/dev/null"]  # in MPEG-TS it takes zero from the streams that it uses
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout, np.float32)


def wave_of(path: Path) -> np.ndarray:
    wave = read_wave(path)
    assert wave is not None
    assert wave.dtype == np.float32
    assert wave.ndim == 1
    assert len(wave) >= probe(path).grid_frames * SAMPLES_PER_FRAME
    return wave


@pytest.mark.parametrize(
    ("name", "codec", "rate", "tolerance"),
    [
        ("pcm.mkv", "pcm_s16le", 16000, 0),
        ("pcm44.mov", "pcm_s16le", 44100, 1),
        ("pcm8.mov", "pcm_s16le", 8000, 1),
        ("flac48.mkv", "flac", 48000, 1),
        ("aac48.mp4", "aac", 48000, 8),
        ("aac16.mp4", "aac", 16000, 8),
        ("aac44.mkv", "aac", 44100, 16),
        ("aac44.ts", "aac", 44100, 400),
        ("mp3.mp4", "libmp3lame", 44100, 16),
        ("opus.webm", "libopus", 48000, 120),
        ("mp2.mpg", "mp2", 44100, 600),
    ],
)
def test_clicks_keep_their_place(shelf: Path, name: str, codec: str, rate: int, tolerance: int) -> None:
    """Tolerances follow the containers: whole samples, milliseconds, or (ts, mpg) a priming that nobody declares."""
    at = [0.25, 0.7, 1.0, 1.6]
    video = {"webm": "libvpx", "mpg": "mpeg1video"}.get(name.split(".")[1], "libx264")
    path = write_footage(
        shelf / f"click-{name}",
        constant_times(25, 50),
        time_base=Fraction(1, 25),
        codec=video,
        options={"deadline": "realtime", "cpu-used": "8"} if video == "libvpx" else {},
        sound=clicks(2.0, at, rate),
        sound_rate=rate,
        sound_codec=codec,
    )
    wave = wave_of(path)
    for time in at:
        assert abs(peak_near(wave, time)) <= tolerance
    measured = probe(path)
    assert measured.audio_sample_rate == rate
    assert measured.audio_channels == 1
    assert abs((measured.audio_start_seconds or 0) * SAMPLE_RATE) <= max(tolerance, 1)


@pytest.mark.parametrize("tags", [[], ["-id3v2_version", "0"]], ids=["tag first", "frame first"])
def test_bare_mp3(shelf: Path, tags: list[str]) -> None:
    """As the sound of TED-talks is often stored; priming, which its first frame declares, is cut."""
    at = [0.25, 0.7, 1.0, 1.6]
    write_wav(shelf / "clicks.wav", clicks(2.0, at, 44100), 44100)
    path = shelf / f"sound-{len(tags)}.mp3"
    ffmpeg("-i", shelf / "clicks.wav", *tags, path)
    wave = read_wave(path)
    assert wave is not None and abs(len(wave) - 2 * SAMPLE_RATE) < SAMPLE_RATE // 10
    for time in at:
        assert abs(peak_near(wave, time)) <= 16
    with pytest.raises(Reject) as caught:
        probe(path)
    assert caught.value.reason is Reason.NOT_MEDIA, "where a video is looked for, nothing else is tried"


@pytest.mark.parametrize(
    "data",
    [b"ID3 is no tag" * 500, b"\xff\xfb" * 5000, np.random.default_rng(0).bytes(200_000)],
    ids=["text", "syncs", "noise"],
)
def test_what_is_no_sound(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "sound.mp3").write_bytes(data)
    with pytest.raises(Reject) as caught:
        read_wave(tmp_path / "sound.mp3")
    assert caught.value.reason in (Reason.NOT_MEDIA, Reason.CORRUPT)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 2)])
def test_noise_lies_where_ffmpeg_lays_it(shelf: Path, suffix: str, start: Fraction) -> None:
    path = write_footage(
        shelf / f"noise-{suffix}-{start.denominator}.{suffix}",
        constant_times(25, 50),
        sound=speckle(1.2, 44100),
        sound_rate=44100,
        sound_start=start,
    )
    wave = wave_of(path)
    assert abs(shift_between(ffmpeg_wave(path), wave)) <= 1
    if start:
        assert np.abs(wave[: int(0.45 * SAMPLE_RATE)]).max() < 1e-3
        assert np.abs(wave[int(0.55 * SAMPLE_RATE) : SAMPLE_RATE]).max() > 0.02
        assert probe(path).audio_start_seconds == pytest.approx(0.5, abs=0.03)
    assert probe(path).audio_end_seconds == pytest.approx(1.2 + float(start), abs=0.06)


def test_hidden_preroll_is_cut(shelf: Path, plain: Path) -> None:
    path = shelf / "preroll-sound.mp4"
    ffmpeg("-ss", "0.72", "-i", plain, "-c", "copy", path)
    wave = wave_of(path)
    assert abs(shift_between(ffmpeg_wave(path), wave)) <= 1
    whole = wave_of(plain)
    assert abs(shift_between(whole[round(0.72 * SAMPLE_RATE) :], wave)) <= 1


def test_a_hole_in_the_timestamps_is_silence(shelf: Path) -> None:
    path = shelf / "hole.mkv"
    noise = speckle(2.0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for begin in range(0, len(noise), 1600):
            frame = av.AudioFrame.from_ndarray(
                (noise[None, begin : begin + 1600] * 32767).astype(np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = begin + (SAMPLE_RATE if begin >= SAMPLE_RATE else 0)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    wave = read_wave(path)
    assert wave is not None
    assert len(wave) == 3 * SAMPLE_RATE
    assert np.abs(wave[:SAMPLE_RATE] - noise[:SAMPLE_RATE]).max() < 1e-3
    assert np.abs(wave[SAMPLE_RATE + 20 : 2 * SAMPLE_RATE]).max() == 0
    assert np.abs(wave[2 * SAMPLE_RATE :] - noise[SAMPLE_RATE:]).max() < 1e-3


@pytest.mark.parametrize(
    ("left", "right", "gain"), [(1, 1, 1.0), (1, -1, 1.0), (1, 0, 1.0), (0, 1, 1.0), (0.5, 1, 0.75)]
)
def test_channels(shelf: Path, left: float, right: float, gain: float) -> None:
    """Neither an inverted nor a silent channel eats the voice."""
    noise = speckle(1.0)
    path = shelf / f"stereo{left}{right}.wav"
    write_wav(path, np.stack([noise * left, noise * right], axis=1))
    wave = read_wave(path)
    assert wave is not None
    assert np.abs(np.abs(wave) - np.abs(noise * gain)).max() < 1e-4


@pytest.mark.parametrize("other", ["anullsrc=r=48000", "sine=f=50:r=48000", "anoisesrc=r=48000:a=0.1"], ids=str)
@pytest.mark.parametrize("suffix", ["mov", "mkv", "ts"])
def test_the_voices_track_among_several(shelf: Path, other: str, suffix: str) -> None:
    """Silence, hum and noise lose, also where they are the default track."""
    rng = np.random.default_rng(3)
    loud = np.repeat(rng.uniform(0, 1, 60) ** 2, SAMPLE_RATE // 10).astype(np.float32)  # syllables of 100 ms
    voice = speckle(6.0) * loud * (1 + np.arange(6 * SAMPLE_RATE) % 2)
    film = write_footage(shelf / f"spoken-{suffix}.mp4", constant_times(25, 150), sound=voice)
    path = shelf / f"tracks-{other[:5]}.{suffix}"
    maps = ["-map", "0:v", "-map", "1:a", "-map", "0:a", "-disposition:a:0", "default", "-disposition:a:1", "0"]
    ffmpeg("-i", film, "-f", "lavfi", "-t", 6, "-i", other, *maps, "-c:v", "copy", "-c:a", "aac", path)
    measured = probe(path)
    assert measured.sound_track == 2
    heard, alone = read_wave(path, reading=measured.reading), wave_of(film)
    assert heard is not None and np.array_equal(heard, wave_of(path))
    lag = shift_between(alone, heard, 2000)
    assert np.corrcoef(alone[: 5 * SAMPLE_RATE], np.roll(heard, -lag)[: 5 * SAMPLE_RATE])[0, 1] > 0.9
    swapped = shelf / f"swapped-{other[:5]}.{suffix}"
    maps = ["-map", "0:v", "-map", "0:a", "-map", "1:a"]
    ffmpeg("-i", film, "-f", "lavfi", "-t", 6, "-i", other, *maps, "-c:v", "copy", "-c:a", "aac", swapped)
    assert probe(swapped).sound_track is None, "the default one has it"


def test_polarity_that_flips_midway(shelf: Path) -> None:
    noise = speckle(8.0)
    other = noise * np.where(np.arange(len(noise)) < 4 * SAMPLE_RATE, 1, -1).astype(np.float32)
    path = shelf / "flips.wav"
    write_wav(path, np.stack([noise, other], axis=1))
    wave = read_wave(path)
    assert wave is not None and np.abs(wave - noise).max() < 1e-4


@pytest.mark.parametrize(("layout", "count"), [("5.1", 6), ("7.1", 8)])
@pytest.mark.parametrize("codec", ["ac3", "aac", "flac"])
def test_the_centre_leads_in_surround_sound(shelf: Path, layout: str, count: int, codec: str) -> None:
    """Voice in the centre, noise of its loudness everywhere else: never worse than `ffmpeg -ac 1`."""
    if codec == "ac3" and count == 8:
        pytest.skip("AC-3 has no 7.1")
    source, path = shelf / f"surround-{layout}.wav", shelf / f"centre-{layout}-{codec}.mkv"
    channels = np.stack([speckle(3.0, 48000, seed) for seed in range(count)], axis=1)
    voice = channels[::3, 2]  # FL FR FC LFE ...
    write_wav(source, channels, 48000)
    ffmpeg("-channel_layout", layout, "-i", source, "-c:a", codec, "-b:a", "640k", path)

    def to_rest(wave: np.ndarray) -> float:
        """Decibels of the voice over everything else."""
        lag = shift_between(voice, wave)
        size = min(len(voice), len(wave)) - 500
        heard, wanted = wave[max(lag, 0) : size], voice[max(-lag, 0) : size]
        heard, wanted = heard[: len(wanted)], wanted[: len(heard)]
        gain = heard @ wanted / (wanted @ wanted)
        return float(10 * np.log10((gain**2 * wanted @ wanted) / ((heard - gain * wanted) ** 2).sum()))

    command = [ffmpeg_exe(), "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "f32le", "-"]
    peer = np.frombuffer(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout, np.float32)
    wave = read_wave(path)
    assert wave is not None and to_rest(wave) >= to_rest(peer)


@pytest.mark.parametrize("suffix", ["aiff", "caf", "aac", "amr", "ac3", "eac3", "au", "w64"])
def test_voices_in_files_of_sound_alone(shelf: Path, suffix: str) -> None:
    at = [0.25, 0.7, 1.0, 1.6]
    write_wav(shelf / "voice.wav", clicks(2.0, at, 16000), 16000)
    path = shelf / f"voice.{suffix}"
    coded = {"amr": ["-ar", 8000, "-ac", 1, "-b:a", "12.2k"], "au": ["-c:a", "pcm_mulaw"]}.get(suffix, [])
    ffmpeg("-i", shelf / "voice.wav", *coded, path)
    wave = read_wave(path)
    assert wave is not None and abs(len(wave) - 2 * SAMPLE_RATE) < SAMPLE_RATE // 6
    for time in at:
        assert abs(peak_near(wave, time)) <= (20 if suffix in ("aiff", "caf", "au", "w64") else 1200), "or its priming"
    with pytest.raises(Reject) as caught:
        probe(path)
    assert caught.value.reason is Reason.NOT_MEDIA, "where a video is looked for, nothing else is tried"


@pytest.mark.parametrize(("channels", "suffix"), [(6, "m4a"), (8, "m4a"), (8, "mka"), (16, "wav")])
def test_many_channels(shelf: Path, channels: int, suffix: str) -> None:
    path, source = shelf / f"surround{channels}.{suffix}", shelf / f"surround{channels}-source.wav"
    noise = speckle(1.0)
    write_wav(source, np.repeat(noise[:, None], channels, axis=1))
    ffmpeg("-i", source, "-c:a", {"m4a": "aac", "wav": "pcm_s24le", "mka": "flac"}[suffix], "-b:a", "600k", path)
    wave = read_wave(path)
    assert wave is not None
    assert abs(shift_between(noise, wave)) <= 1
    size = min(len(noise), len(wave))
    assert wave[:size].std() == pytest.approx(noise.std(), rel=0.2)


def test_no_sound(shelf: Path) -> None:
    path = write_footage(shelf / "mute.mp4", constant_times(25, 5))
    assert read_wave(path) is None
    measured = probe(path)
    assert measured.audio_streams == 0
    assert measured.audio_codec is None
    assert measured.audio_start_seconds is None


def test_sound_that_ends_early_is_padded_to_the_grid(shelf: Path) -> None:
    path = write_footage(shelf / "early.mp4", constant_times(25, 50), sound=speckle(0.8))
    wave = wave_of(path)
    assert len(wave) == 50 * SAMPLES_PER_FRAME
    assert np.abs(wave[SAMPLE_RATE:]).max() == 0


def test_broken_sound_packets_are_passed_over(shelf: Path, plain: Path) -> None:
    data = bytearray(plain.read_bytes())
    with av.open(str(plain)) as container:
        packets = [(p.pos, p.size) for p in container.demux(audio=0) if p.pos is not None and p.size]
    for position, size in packets[20:24]:
        data[position : position + size] = b"\xff" * size
    path = shelf / "crackle.mp4"
    path.write_bytes(data)
    good, wave = wave_of(plain), wave_of(path)
    assert abs(len(good) - len(wave)) <= 2048
    assert np.abs(good[: 15 * 1024] - wave[: 15 * 1024]).max() < 1e-3
    late = slice(40 * 1024, 55 * 1024)
    assert np.abs(good[late] - wave[late]).max() < 1e-3


def test_long_sound_resampled_in_pieces_equals_one_piece(shelf: Path) -> None:
    import soxr

    noise = speckle(7.3, 44100)
    path = shelf / "long.wav"
    write_wav(path, noise, 44100)
    wave = read_wave(path)
    assert wave is not None
    whole = soxr.resample(noise, 44100, SAMPLE_RATE, quality="HQ")
    assert abs(len(wave) - len(whole)) <= 1
    assert np.abs(wave[: len(whole)] - whole[: len(wave)]).max() < 1e-4


def test_cut() -> None:
    wave = np.arange(10 * SAMPLES_PER_FRAME, dtype=np.float32)
    assert np.array_equal(cut(wave, 2, 3), wave[2 * SAMPLES_PER_FRAME : 5 * SAMPLES_PER_FRAME])
    past = cut(wave, 9, 4)
    assert len(past) == 4 * SAMPLES_PER_FRAME
    assert np.array_equal(past[:SAMPLES_PER_FRAME], wave[-SAMPLES_PER_FRAME:])
    assert not past[SAMPLES_PER_FRAME:].any()
    assert len(cut(wave, 50, 2)) == 2 * SAMPLES_PER_FRAME
    assert not cut(wave, 50, 2).any()


def test_flac_round_trip_is_exact_at_16_bit() -> None:
    rng = np.random.default_rng(0)
    samples = rng.integers(-32768, 32768, 5000).astype(np.float32) / 32768
    samples[:3] = (-1.0, 32767 / 32768, 0.0)
    assert np.array_equal(from_flac(to_flac(samples)), samples)
    assert from_flac(to_flac(np.array([2.0, -2.0], np.float32))).tolist() == [32767 / 32768, -1.0]
    assert to_flac(samples) == to_flac(samples)
    with pytest.raises(ValueError, match="not FLAC"):
        from_flac(b"RIFF nonsense")


def test_flac_of_another_rate_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", np.zeros(100), 8000)
    with pytest.raises(ValueError, match="8000 Hz"):
        from_flac((tmp_path / "x.flac").read_bytes())


def test_a_click_survives_cut_and_flac_within_one_sample(shelf: Path) -> None:
    """At 44.1 kHz in the source, at its grid index in the clip."""
    path = write_footage(
        shelf / "cutclick.mov",
        constant_times(25, 75),
        sound=clicks(3.0, [1.48], 44100),
        sound_rate=44100,
        sound_codec="pcm_s16le",
    )
    clip = from_flac(to_flac(cut(wave_of(path), 30, 20)))
    assert abs(peak_near(clip, 1.48 - 30 / 25)) <= 1
