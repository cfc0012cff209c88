"""Publishes one article; what was published is sent before the process ends."""

import rele

rele.publish(
    topic="article-written",
    data={"title": "Rain", "text": "It rains in Wales"},
    author="guido",
)
