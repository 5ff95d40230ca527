/* SPDX-License-Identifier: MIT */
#include "naming.h"

#include <stdio.h>

struct named_range name_field(const struct field_row *rows, size_t count, const char *prefix, uint64_t base, uint64_t inside)
{
    struct named_range range = {.begin = base + inside, .end = base + inside + 1};
    const char *name = "?";
    for (size_t i = 0; i < count; i++) {
        if (inside >= rows[i].offset && inside - rows[i].offset < rows[i].size) {
            name = rows[i].name;
            range.begin = base + rows[i].offset;
            range.end = range.begin + rows[i].size;
            range.number = rows[i].number;
        }
    }
    snprintf(range.name, sizeof(range.name), "%s.%s", prefix, name);
    return range;
}

struct named_range name_free(uint64_t begin, uint64_t end)
{
    struct named_range range = {.begin = begin, .end = end};
    snprintf(range.name, sizeof(range.name), "free[%llu]", (unsigned long long)begin);
    return range;
}
