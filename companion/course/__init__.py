"""Grades answers to the exercises of the book, and draws exams."""
