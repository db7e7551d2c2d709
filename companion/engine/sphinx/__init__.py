"""Extensions of Sphinx that show results on a book's pages; they know no paper."""
