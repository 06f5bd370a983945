"""Flickr8k: photographs with five English captions each."""
