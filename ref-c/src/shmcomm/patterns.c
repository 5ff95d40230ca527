/* SPDX-License-Identifier: MIT
 *
 * Profile shmcomm, section 1.5: what channels are called. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define REQUESTS "/shmcomm_req_"
#define REPLIES "/shmcomm_rep_"
#define REPLIES_OF "_rep_" /* behind the locator of a service that is no name */
#define DIGITS "0123456789"

static const char *const prefixes[] = {
    [SHMW_SHMCOMM_PATTERN_PUBSUB] = "/shmcomm_pub_",
    [SHMW_SHMCOMM_PATTERN_PIPELINE] = "/shmcomm_push_",
    [SHMW_SHMCOMM_PATTERN_REQUEST] = REQUESTS,
    [SHMW_SHMCOMM_PATTERN_REPLY] = REPLIES,
};

/* [shmcomm.name.valid] */
static bool valid_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" DIGITS "._-";
    const size_t length = strlen(name);
    return length > 0 && length <= SHMW_SHMCOMM_NAME_MAX && strspn(name, allowed) == length;
}

static char *join_texts(const char *first, const char *second, const char *third)
{
    const size_t room = strlen(first) + strlen(second) + strlen(third) + 1;
    char *text = malloc(room);
    if (text != NULL)
        snprintf(text, room, "%s%s%s", first, second, third);
    return text;
}

int shmw_shmcomm_segment_name(uint32_t pattern, const char *name, uint32_t number, char *buffer, size_t size)
{
    const bool reply = pattern == SHMW_SHMCOMM_PATTERN_REPLY;
    if (name == NULL || buffer == NULL || pattern < SHMW_SHMCOMM_PATTERN_PUBSUB || pattern > SHMW_SHMCOMM_PATTERN_REPLY)
        return SHMW_INVALID_ARGUMENT;
    if (reply && (number == 0 || number > SHMW_SHMCOMM_MAX_ENDPOINT))
        return SHMW_INVALID_ARGUMENT;
    if (!valid_name(name))
        return SHMW_INVALID_NAME;
    const int written = reply ? snprintf(buffer, size, "%s%s_%u", prefixes[pattern], name, (unsigned)number)
                              : snprintf(buffer, size, "%s%s", prefixes[pattern], name);
    if (written < 0)
        return SHMW_SYSTEM;
    return (size_t)written < size ? SHMW_OK : SHMW_TOO_SMALL;
}

int shmw_shmcomm_locate(uint32_t pattern, const char *name, char **locator)
{
    const bool named = strchr(name, '/') == NULL;
    if (named && !valid_name(name))
        return SHMW_INVALID_NAME;
    if (named && pattern == 0) /* an observer's: which of them is meant? */
        return SHMW_INVALID_NAME;
    *locator = named ? join_texts(prefixes[pattern], name, "") : join_texts(name, "", "");
    return *locator != NULL ? SHMW_OK : SHMW_SYSTEM;
}

/* A request channel's name as a locator is the same service as the name. */
char *shmw_shmcomm_reply_prefix(const char *locator)
{
    const size_t length = strlen(REQUESTS);
    if (strncmp(locator, REQUESTS, length) == 0 && valid_name(locator + length))
        return join_texts(REPLIES, locator + length, "_");
    return join_texts(locator, REPLIES_OF, "");
}

char *shmw_shmcomm_reply_locator(const char *prefix, uint32_t number)
{
    char digits[16];
    snprintf(digits, sizeof(digits), "%u", (unsigned)number);
    return join_texts(prefix, digits, "");
}

/* Does an entry of the directory say a number behind the prefix's last part? *digits gets where it stands. */
static bool is_reply(const char *entry, const char *stem, const char **digits)
{
    const size_t length = strlen(stem);
    if (strncmp(entry, stem, length) != 0)
        return false;
    *digits = entry + length;
    const size_t count = strlen(*digits);
    return count > 0 && count <= 10 && (*digits)[0] != '0' && strspn(*digits, DIGITS) == count;
}

void shmw_shmcomm_each_reply(const char *prefix, void (*visit)(const char *locator, void *context), void *context)
{
    char path[PATH_MAX];
    if (shmw_path(prefix, path, sizeof(path)) != SHMW_OK)
        return;
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        return;
    *slash = '\0';
    DIR *directory = opendir(slash == path ? "/" : path);
    if (directory == NULL)
        return;
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        const char *digits;
        char *locator = is_reply(entry->d_name, slash + 1, &digits) ? join_texts(prefix, digits, "") : NULL;
        if (locator != NULL)
            visit(locator, context);
        free(locator);
    }
    closedir(directory);
}
