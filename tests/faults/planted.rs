//! The harness proves itself: five bugs that only faults show, planted into a copy of the program, must each be found.
