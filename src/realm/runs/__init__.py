"""The main job: recordings in; decoders, scores and a run folder out."""
