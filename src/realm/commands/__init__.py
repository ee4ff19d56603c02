"""What each command of the command line does with its arguments; `realm.cli` lists them."""
