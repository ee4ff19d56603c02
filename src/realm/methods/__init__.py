"""What competes: every method behind one interface, its settings beside it."""
