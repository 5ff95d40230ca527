# SPDX-License-Identifier: MIT
"""The suite's oracle: what a segment's bytes mean, in pure Python from spec/layout alone.

It shares no code with any implementation, nor with the fixture generator. `layout` is what all profiles share; each profile has
a module of its name with the same functions:

    fields(data)            {"channel[0].tail": "3", …}: every field that lies inside the bytes; integers decimal, byte fields hex
    value(data, name)       one field, int or bytes
    locate(data, name)      its (offset, size)
    encode(data, name, n)   (offset, bytes) that store n there
    name_at(data, offset)   "channel[0].head+2": the field that a byte belongs to
    messages(data, choice)  the messages that a reader must deliver, oldest first, channel by channel
    items(data)             the same in the form of the items of a `read` reply
    reading(data)           steps that read the segment without changing it, with the answers that they must get
    READ_CLASS              the class that a driver must claim for those steps
    findings(data)          what is wrong with a segment at rest, with rule ids
"""
