# SPDX-License-Identifier: Apache-2.0
"""Reads profile.proto by the wire format alone."""


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at


def fields(data):
    """{field: [values]} of one message; only numbers and bytes are known."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            size, at = varint(data, at)
            assert at + size <= len(data), "a message is cut"
            value, at = data[at:at + size], at + size
        else:
            raise AssertionError(f"wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


class Profile:
    """samples: [(thread, file of the mapping, address, count, nanoseconds)]"""

    def __init__(self, data):
        top = fields(data)
        texts = [t.decode() for t in top[6]]
        assert texts[0] == "", "the first text is empty by definition"
        self.types = [tuple(texts[fields(t)[n][0]] for n in (1, 2)) for t in top[1]]
        files = {fields(m)[1][0]: (fields(m)[2][0], fields(m)[3][0], texts[fields(m)[5][0]])
                 for m in top.get(3, [])}
        places = {}
        for location in map(fields, top.get(4, [])):
            mapping = files.get(location[2][0])
            address = location[3][0]
            assert mapping is None or mapping[0] <= address < mapping[1]
            places[location[1][0]] = (mapping[2] if mapping else "", address)
        self.samples = []
        for sample in map(fields, top.get(2, [])):
            file, address = places[sample[1][0]]
            label = fields(sample[3][0])
            assert texts[label[1][0]] == "thread"
            self.samples.append((texts[label[2][0]], file, address, *sample[2]))
        self.duration_ns, self.period_ns = top[10][0], top[12][0]
