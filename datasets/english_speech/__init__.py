"""english_speech: English of many people, from eight public sources."""
