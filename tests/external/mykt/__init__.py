"""Parts for gainkt, none of which gainkt knows."""
