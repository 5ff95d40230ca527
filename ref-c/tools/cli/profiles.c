/* SPDX-License-Identifier: MIT */
#include "profile.h"

#include <stddef.h>
#include <string.h>

const struct cli_profile *const cli_profiles[] = {&cli_dmxp, &cli_ouroboros, &cli_shmcomm, &cli_slick, NULL};

const struct cli_profile *find_profile(const char *name)
{
    for (const struct cli_profile *const *profile = cli_profiles; *profile != NULL; profile++)
        if (strcmp((*profile)->name, name) == 0)
            return *profile;
    return NULL;
}
