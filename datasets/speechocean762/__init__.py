"""speechocean762, English read aloud by speakers of Mandarin."""
