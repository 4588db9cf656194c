"""Labels that tests ask about."""

EVERYDAY = [
    "riding a bicycle", "riding a horse", "riding a motorcycle", "driving a car", "walking a dog", "playing the guitar",
    "playing the piano", "playing football", "playing basketball", "playing tennis", "swimming", "running", "dancing",
    "cooking", "eating", "drinking coffee", "reading a book", "writing", "typing on a computer", "talking on the phone",
    "brushing teeth", "washing dishes", "mowing the lawn", "skiing", "surfing", "climbing a rock", "fishing", "a cat",
    "a dog", "a waterfall",
]  # fmt: skip
