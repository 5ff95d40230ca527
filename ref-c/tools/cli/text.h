/* SPDX-License-Identifier: MIT
 *
 * What help and the man page say alike. */
#ifndef SHMW_CLI_TEXT_H
#define SHMW_CLI_TEXT_H

static const char text_what[] =
    "Look into shared-memory message segments, live ones or files, and make, compare, copy and repair them.";

static const char text_segments[] = "SEG is a path if it holds a slash other than a leading one (./seg.bin, /tmp/seg.bin). "
                                    "\"/x\" is the POSIX shared-memory name x, whose file is /dev/shm/x. A bare word is the "
                                    "file of that name in the current directory if there is one, else a shared-memory name. The "
                                    "profile is found by the segment's magic number, or where the format has none (slick before "
                                    "generation 1.4) by what has to fit; --profile overrides it. Verbs map segments "
                                    "read-only unless they say that they write.";

static const char text_output[] =
    "Data goes to standard output, diagnostics to standard error. With --json, 64-bit integers are decimal strings. Colour is "
    "used on terminals only and not at all if NO_COLOR is set. Scans of feeds that take longer than a second (validate, dump, gc, ls of a BASE or "
    "BASE/FEED) show how far they are on standard error, where that is a terminal, and nothing where standard output is a pipe. Exit status: 0 all well, 1 findings or differences, 2 wrong "
    "usage or a failure of input or output, 3 not a segment of a known profile.";

#endif
