"""Is a recording fit? What is in it, what is wrong with it, and a recipe to begin with.

`inspection.inspect_recording` does all of it; `screen` shows it in one screen. Each kind of fault
has a name (`realm.recordings.fault.FaultName`) and one check in `faults`.
"""
