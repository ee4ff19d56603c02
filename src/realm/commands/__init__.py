"""The commands: arguments to functions of the package. `realm.cli` lists them."""
