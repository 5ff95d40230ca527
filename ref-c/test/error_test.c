/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "check.h"
#include "shmwire.h"

static void every_code_has_a_name_and_a_text(void)
{
    for (int code = SHMW_SYSTEM; code <= SHMW_CLOSED; code++) {
        CHECK(strcmp(shmw_error_name(code), "UNKNOWN") != 0);
        CHECK(strcmp(shmw_strerror(code), "unknown code") != 0);
        for (int other = SHMW_SYSTEM; other < code; other++)
            CHECK(strcmp(shmw_error_name(code), shmw_error_name(other)) != 0);
    }
    CHECK(strcmp(shmw_error_name(SHMW_BAD_MAGIC), "BAD_MAGIC") == 0);
    CHECK(strcmp(shmw_error_name(SHMW_OK), "OK") == 0);
}

static void other_numbers_are_unknown(void)
{
    static const int others[] = {SHMW_CLOSED + 1, SHMW_SYSTEM - 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        CHECK(strcmp(shmw_error_name(others[i]), "UNKNOWN") == 0);
        CHECK(strcmp(shmw_strerror(others[i]), "unknown code") == 0);
    }
}

static void the_version_is_that_of_the_header(void)
{
    CHECK(strcmp(shmw_version(), SHMW_VERSION_STRING) == 0);
}

RUN_TESTS(TEST(every_code_has_a_name_and_a_text), TEST(other_numbers_are_unknown), TEST(the_version_is_that_of_the_header))
