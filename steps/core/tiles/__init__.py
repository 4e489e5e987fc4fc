"""Screenshots to tiles: decoding, the tile plan, resizing, shards, the tile store."""
