"""The exercises, a file for each lesson: `EXERCISES` holds a right answer, cases, and the classic mistakes."""
