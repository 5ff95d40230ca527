/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_SEGMENT (UINT64_C(1) << 40)
#define LARGEST_PAYLOAD (UINT64_C(1) << 30)
#define LONGEST_PAUSE_US UINT64_C(3600000000)
#define DEFAULT_SEED 1

enum kind { NUMBER, TEXT, NAME, YES, NO };

struct row {
    const char *word;
    const char *value; /* its name in the help; NULL for switches */
    enum kind kind;
    bool required;
    size_t member; /* of struct options */
    uint64_t least;
    uint64_t most;
    const char *help;
};

#define MEMBER(name) offsetof(struct options, name)

static const struct row rows[] = {
    {"--name", "NAME", NAME, true, MEMBER(name), 0, 0, "shared-memory name; its leading slash is added if it is not there"},
    {"--size", "BYTES", NUMBER, true, MEMBER(size), 1, LARGEST_SEGMENT, "bytes of the segment"},
    {"--count", "N", NUMBER, true, MEMBER(count), 0, UINT64_MAX, "entries to write"},
    {"--min-size", "BYTES", NUMBER, true, MEMBER(min_size), 1, LARGEST_PAYLOAD, "least payload of an entry"},
    {"--max-size", "BYTES", NUMBER, true, MEMBER(max_size), 1, LARGEST_PAYLOAD, "largest payload of an entry"},
    {"--seed", "S", NUMBER, false, MEMBER(seed), 0, UINT64_MAX, "the same seed gives the same payloads (default 1)"},
    {"--interval", "MICROSECONDS", NUMBER, true, MEMBER(interval_us), 0, LONGEST_PAUSE_US, "pause after each entry"},
    {"--initial-delay", "MICROSECONDS", NUMBER, false, MEMBER(initial_delay_us), 0, LONGEST_PAUSE_US,
     "pause before the first entry (default 0)"},
    {"--json-out", "FILE", TEXT, true, MEMBER(json_out), 0, 0, "write there, at the end, what was written to the segment"},
    {"--unlink-at-exit", NULL, YES, false, MEMBER(unlink_at_exit), 0, 0, "remove the segment at the end"},
    {"--no-unlink-at-exit", NULL, NO, false, MEMBER(unlink_at_exit), 0, 0, "leave it (default), but for SIGINT and SIGTERM"},
    {"--help", NULL, YES, false, MEMBER(help), 0, 0, "show this help"},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static bool wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("ouroboros_shm_generator: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; see --help\n", stderr);
    va_end(args);
    return false;
}

static bool take_number(const struct row *row, const char *text, uint64_t *out)
{
    errno = 0;
    const unsigned long long value = strtoull(text, NULL, 10);
    const bool digits = text[0] != '\0' && strspn(text, "0123456789") == strlen(text);
    if (!digits || errno != 0 || value < row->least || value > row->most)
        return wrong("%s is an integer from %llu to %llu", row->word, (unsigned long long)row->least,
                     (unsigned long long)row->most);
    *out = value;
    return true;
}

static bool take_name(const char *text, char name[NAME_ROOM])
{
    const char *rest = text[0] == '/' ? text + 1 : text;
    if (rest[0] == '\0' || strchr(rest, '/') != NULL || snprintf(name, NAME_ROOM, "/%s", rest) >= NAME_ROOM)
        return wrong("--name is a name of 1 to %d bytes without further slashes", NAME_ROOM - 2);
    return true;
}

static bool take_value(const struct row *row, const char *value, struct options *options)
{
    void *member = (char *)options + row->member;
    switch (row->kind) {
    case NUMBER:
        return take_number(row, value, member);
    case NAME:
        return take_name(value, member);
    case TEXT:
        *(const char **)member = value;
        return value[0] != '\0' || wrong("%s is empty", row->word);
    case YES:
    case NO:
        *(bool *)member = row->kind == YES;
        return true;
    }
    return false;
}

/* One word, "--size" or "--size=4096"; *at moves over its value if that is the next word. */
static bool take_word(int argc, char **argv, int *at, struct options *options, bool seen[ROWS])
{
    const char *word = argv[*at];
    const size_t length = strcspn(word, "=");
    size_t i = 0;
    while (i < ROWS && (strlen(rows[i].word) != length || strncmp(rows[i].word, word, length) != 0))
        i++;
    if (i == ROWS)
        return wrong("there is no option %s", word);
    const char *value = word[length] == '=' ? word + length + 1 : NULL;
    if (rows[i].value == NULL && value != NULL)
        return wrong("%s takes no value", rows[i].word);
    if (rows[i].value != NULL && value == NULL && *at + 1 < argc)
        value = argv[++*at];
    if (rows[i].value != NULL && value == NULL)
        return wrong("%s needs a value", rows[i].word);
    seen[i] = true;
    return take_value(&rows[i], value, options);
}

bool options_parse(int argc, char **argv, struct options *options)
{
    bool seen[ROWS] = {false};
    *options = (struct options){.seed = DEFAULT_SEED};
    for (int at = 1; at < argc; at++)
        if (!take_word(argc, argv, &at, options, seen))
            return false;
    if (options->help)
        return true;
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].required && !seen[i])
            return wrong("%s is missing", rows[i].word);
    if (options->min_size > options->max_size)
        return wrong("--min-size is above --max-size");
    return true;
}

void options_help(void)
{
    puts("usage: ouroboros_shm_generator OPTION...\n\n"
         "Makes a log of profile ouroboros in shared memory and writes random entries to it. Prints one JSON object about the\n"
         "segment when it is there.\n");
    for (size_t i = 0; i < ROWS; i++) {
        char left[64];
        snprintf(left, sizeof(left), "%s%s%s", rows[i].word, rows[i].value != NULL ? " " : "",
                 rows[i].value != NULL ? rows[i].value : "");
        printf("  %-32s %s%s\n", left, rows[i].help, rows[i].required ? " (required)" : "");
    }
    puts("\nExit status: 0 done, or stopped by SIGINT or SIGTERM, which remove the segment; 1 failure; 2 wrong usage.");
}
