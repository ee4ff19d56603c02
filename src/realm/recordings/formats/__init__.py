"""The readers, one module per format; `realm.recordings.open` lists them."""
