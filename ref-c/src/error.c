/* SPDX-License-Identifier: MIT
 *
 * Names and texts of results and errors, from the closed registry spec/errors.toml. */
#include "shmwire.h"

#include "error_table.h"

const char *shmw_version(void)
{
    return SHMW_VERSION_STRING;
}

const char *shmw_strerror(int code)
{
    switch (code) {
#define SHMW_CASE(name, text) \
    case SHMW_##name: \
        return text;
        SHMW_ERROR_TABLE(SHMW_CASE)
#undef SHMW_CASE
    default:
        return "unknown code";
    }
}

const char *shmw_error_name(int code)
{
    switch (code) {
#define SHMW_CASE(name, text) \
    case SHMW_##name: \
        return #name;
        SHMW_ERROR_TABLE(SHMW_CASE)
#undef SHMW_CASE
    default:
        return "UNKNOWN";
    }
}
