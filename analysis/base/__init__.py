"""What everything rests on: files, texts, strict models, places, what code is made of."""
