"""Servers that do nothing wrong, in all the ways that HTTP leaves them: each must give the file."""

from tests.faults.fault import SIZE, Fault, Identical

FAULTS = {
    "plain": Fault("nothing is wrong", Identical()),
    "empty": Fault("a file of no bytes", Identical(), {"size": 0}),
    "empty-chunked": Fault("a file of no bytes, chunked", Identical(), {"size": 0, "framing": "chunked"}),
    "empty-close": Fault("no bytes until the connection closes", Identical(), {"size": 0, "framing": "close"}),
    "one-byte": Fault("a file of one byte", Identical(), {"size": 1}),
    "chunked": Fault("chunked, length not known", Identical(), {"framing": "chunked"}),
    "chunk-extensions": Fault(
        "chunks with extensions", Identical(), {"framing": "chunked", "chunk_extension": b';name=value;q="a b"'}
    ),
    "chunk-trailers": Fault(
        "fields after the last chunk",
        Identical(),
        {"framing": "chunked", "trailers": b'ETag: "late"\r\nX-Trailer: 1\r\n'},
    ),
    "close-delimited": Fault("the body ends with the connection", Identical(), {"framing": "close"}),
    "http10": Fault("HTTP/1.0", Identical(), {"http10": True}),
    "http10-close": Fault("HTTP/1.0 without a length", Identical(), {"http10": True, "framing": "close"}),
    "no-validators": Fault("nothing tells versions apart", Identical(), {"etag": None, "last_modified": None}),
    "weak-etag": Fault("a weak ETag", Identical(), {"etag": 'W/"weak"'}),
    "weak-date": Fault("Last-Modified is Date", Identical(), {"etag": None, "last_modified": "now"}),
    "no-date": Fault("no Date", Identical(), {"date": None}),
    "date-behind": Fault("a clock that is a day slow", Identical(), {"date": -86_400}),
    "date-ahead": Fault("a clock that is a year fast", Identical(), {"date": 31_536_000}),
    "length-in-two-fields": Fault(
        "Content-Length twice, the same", Identical(), {"more_fields": (("Content-Length", "{length}"),)}
    ),
    "length-repeated": Fault(
        "Content-Length as a list of the same", Identical(), {"headers": {"Content-Length": "{length}, {length}"}}
    ),
    "length-and-chunked": Fault(
        "Content-Length with chunked, agreeing",
        Identical(),
        {"framing": "chunked", "headers": {"Content-Length": "{length}"}},
    ),
    "identity-encoding": Fault(
        "Content-Encoding: identity", Identical(), {"headers": {"Content-Encoding": "identity"}}
    ),
    "interim-100": Fault("100 Continue first", Identical(), {"interim": (100,)}),
    "interim-mixed": Fault("100, 102 and 103 first", Identical(), {"interim": (100, 102, 103)}),
    "interim-thousands": Fault("two thousand times 103 first", Identical(), {"interim": (103,), "interim_times": 2000}),
    "one-byte-a-second": Fault("slow, never silent", Identical(), {"size": 6, "rate": 1}),
    "slow": Fault("100 kB a second", Identical(), {"rate": SIZE}),
    "no-ranges": Fault("a server without ranges", Identical(), {"no_range": True}),
    "many-fields": Fault(
        "fifty more fields", Identical(), {"more_fields": tuple((f"X-{number}", "x" * 100) for number in range(50))}
    ),
    "a-page": Fault("the file itself is HTML", Identical(), {"headers": {"Content-Type": "text/html"}}),
}
