"""Lets half of the calls name what is there: of ids at random, none would ever be found."""

import json
import os
import zlib

import schemathesis

KNOWN = json.loads(os.environ["KNOWN"])


def known_to(path):
    """What replaces the values of these keys in the body of a call."""
    if path in ("/channels.disconnect", "/webhooks.unsubscribe"):
        # The others stay, so that one can write, and replay.
        return {"channel_id": KNOWN["second_channel_id"]}
    ids = {"/webhooks.": "webhook_id", "/tags.update": "tag_id"}
    own = {"id": KNOWN[name] for start, name in ids.items() if path.startswith(start)}
    return {**KNOWN, **own}


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    # Not by chance, so that a failure can be seen again.
    if zlib.crc32(json.dumps(body, sort_keys=True, default=str).encode()) % 2:
        return body
    known = known_to(context.operation.path)
    return {**body, **{key: known[key] for key in known.keys() & body.keys()}}
