"""What the name of a channel says: that it records no potential of the brain.

Most formats state no type of a channel, but amplifiers and labs name their analog inputs, triggers
and sensors alike. Only names that are no usual names of electrodes are listed: "ACC1" and "AI1" are
contacts in the cingulum and the insula. A description can name electrodes that are meant here:
`channels.electrodes = ["DC*"]`.
"""

from __future__ import annotations

import re

# Words that say it wherever they stand in a name: "EEG EKG1-Ref", "Chin EMG", "joystick_x".
_WORDS = (
    r"ainp|anin|adc|aux|analog(ue)?|digital|din|dout|ttl|trig(ger)?s?|sync|status|sti|"
    r"[hvlr]?(ecg|ekg|eog|emg)[hvlrxyzb]?|gsr|eda|spo|sao|osat|pleth|ppg|resp(iration)?|"
    r"joy(stick)?[xy]?|photo(diode|sensor|cell)?|accel(erometer)?|accel?[xyz]|gyro(scope)?|gyro[xyz]|"
    r"gaze|pupil|eye|mic(rophone)?|audio|sound|marker|events?|button|lever|treadmill|wheel|"
    r"encoder|servo|stimulus|vdd|clk|clock|counter|thermistor|snore|airflow|pulse"
)
# Whole names, of one system each: Nihon Kohden, Natus, Intan, SpikeGLX, National Instruments.
_WHOLE = (
    r"dc ?\d*|stim ?\d*|(sy|xa|xd) ?\d+|pos ?[xy]|"
    r"light ?\d*|temp(erature)?|force ?[xyz]?|speed|velocity|position ?[xyz]?|cursor ?[xyz]?"
)
_PREFIX = re.compile(r"^(eeg|seeg|ieeg|ecog|pol|misc|chan(nel)?|input|bnc)[ _.:-]+", re.IGNORECASE)
_REFERENCE = re.compile(r"[ _.:-]+(ref|reference|avg|av|le|gnd|org|g[12])\d*$", re.IGNORECASE)
_WORD = re.compile(_WORDS, re.IGNORECASE)
_NAME = re.compile(_WHOLE, re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def names_another_signal(name: str) -> bool:
    """Whether a channel of this name is an analog input, a trigger, a sensor or a muscle."""
    bare = _REFERENCE.sub("", _PREFIX.sub("", name.strip()))
    spaced = re.sub(r"[^A-Za-z0-9]+", " ", bare).strip()
    if _NAME.fullmatch(spaced):
        return True
    words = re.findall("[A-Za-z]+", _CAMEL.sub(" ", spaced)) + re.findall("[A-Za-z]+", spaced)
    return any(_WORD.fullmatch(word) for word in words)
